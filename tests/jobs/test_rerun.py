"""Doing a training again: the verdict, and what is kept of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.jobs.records import RunRecord
from ahstore.jobs.spec import RunSpec
from ahstore.versions.refs import Refs
from tests.jobs.conftest import House

SAME = """
import json, os
from pathlib import Path
out = Path(os.environ["AH_OUTPUT_DIR"])
data = Path(os.environ["AH_DATASET_DIR"], "labels").read_bytes()
old = os.environ.get("AH_CHECKPOINT_DIR")
before = Path(old, "model").read_bytes() if old else b""
(out / "model").write_bytes(before + data + os.environ["AH_PARAMS"].encode())
(out / "sub").mkdir()
(out / "sub" / "same").write_text("same")
"""
OTHER = (
    SAME
    + """
(out / "sub" / "stamp").write_text(os.environ["AH_RUN_ID"] * 2)
(out / os.environ["AH_RUN_ID"]).write_text("x")
"""
)


def rerun(house: House, ref: str, **options: str) -> RunRecord:
    return house.wait(house.jobs.rerun(house.model, ref, **options))


def verdict(house: House, done: RunRecord) -> dict:
    assert done.status == "Succeeded", house.log(done)
    assert done.evaluation is not None
    evaluation = house.hub.get_evaluation(done.evaluation)
    assert evaluation.model_commit == done.spec.verifies.commit
    assert evaluation.dataset_commit == done.spec.dataset.commit
    assert evaluation.run == done.id
    return json.loads(evaluation.results["rerun"])


def test_the_same_bytes(house: House) -> None:
    first = house.wait(house.train(SAME, params={"rate": 0.5}, timeout=50))
    second = house.wait(house.train(branch="c", checkpoint=(house.model, "b"), volume="9Mi"))
    heads = {ref.name: ref.commit for ref in Refs(house.repo).list(house.model.id)}
    for made, ref in ((first, "b"), (second, "c")):
        done = rerun(house, ref)
        found = verdict(house, done)
        assert (found["verdict"], found["files"], found["branch"]) == ("same bytes", 0, None)
        assert found["surroundings"] == {}
        assert done.outcome["verdict"] == "same bytes"
        for name in ("code", "dataset", "checkpoint", "volume", "timeout", "params"):
            assert getattr(done.spec, name) == getattr(made.spec, name), name
    # No branch moves: a check must not change what it checks.
    assert heads == {ref.name: ref.commit for ref in Refs(house.repo).list(house.model.id)}


def test_other_bytes(house: House) -> None:
    first = house.wait(house.train(OTHER))
    done = rerun(house, "b")
    found = verdict(house, done)
    assert found["verdict"] == "differs"
    assert found["files"] == 3
    changes = {(d["change"], d["path"]) for d in found["differences"]}
    assert changes == {("modified", "sub/stamp"), ("deleted", first.id), ("added", done.id)}
    assert found["branch"] == "rerun-" + done.name.removeprefix("asset-hub-")
    kept = Refs(house.repo).get(house.model.id, found["branch"])
    assert house.files(kept.commit)["sub/stamp"].decode() == done.id * 2
    assert house.head("b") == first.commit


def test_by_how_much_tensors_differ(house: House) -> None:
    code = """
import os
import numpy as np
noise = 0.25 if os.path.exists(GATE) else 0.0
np.savez(os.path.join(os.environ["AH_OUTPUT_DIR"], "model.npz"),
         same=np.arange(1000.0), other=np.arange(1000.0) + noise)
"""
    gate = house.root / "gate"
    house.wait(house.train(code.replace("GATE", repr(str(gate)))))
    gate.touch()
    [difference] = verdict(house, rerun(house, "b"))["differences"]
    assert (difference["format"], difference["unchanged_parts"]) == ("npz", 1)
    [part] = difference["parts"]
    assert (part["name"], part["max"]) == ("other", 0.25)
    assert part["l2"] == pytest.approx(0.25 * 1000**0.5)


def test_a_rerun_finds_the_code_at_its_new_place(house: House, tmp_path: Path) -> None:
    house.wait(house.train(SAME))
    moved = tmp_path / "moved"
    shutil.move(house.code, moved)
    with pytest.raises(NotFoundError):
        house.jobs.rerun(house.model, "b")
    assert verdict(house, rerun(house, "b", git_repo=str(moved)))["verdict"] == "same bytes"


def test_another_commit_of_the_code_is_not_taken(house: House) -> None:
    # Else a rerun would "verify" with whatever the branch means today.
    first = house.wait(house.train(SAME))
    house.make_code({"train.py": OTHER})
    with pytest.raises(NotFoundError):
        house.jobs.rerun(house.model, "b", git_repo=str(house.code))
    assert first.commit is not None


def test_what_no_training_made_can_not_be_done_again(house: House) -> None:
    with pytest.raises(InvalidInputError, match="not made by a training"):
        house.jobs.rerun(house.model, "main")


def test_a_rerun_that_fails_says_nothing_of_the_version(house: House) -> None:
    gate = house.root / "gate"
    house.wait(house.train(SAME + f"\nif os.path.exists({str(gate)!r}): raise SystemExit(3)"))
    gate.touch()
    done = rerun(house, "b")
    assert (done.status, done.outcome["exit_status"]) == ("Failed", 3)
    assert house.hub.list_evaluations(house.model) == []


def test_changed_surroundings_are_told(house: House) -> None:
    from ahstore.jobs.provenance.verdict import _changed

    then = {"python": "3.10.1", "cpu": "x", "packages": "numpy==1.0 gone==2"}
    now = {"python": "3.10.1", "cpu": "y", "packages": {"numpy": "1.1", "new": "3"}}
    assert dict(_changed(then, now)) == {
        "cpu": ["x", "y"], "package numpy": ["1.0", "1.1"],
        "package gone": ["2", None], "package new": [None, "3"],
    }  # fmt: skip


def test_the_spec_of_a_rerun_is_kept(house: House) -> None:
    house.wait(house.train(SAME))
    done = rerun(house, "b")
    assert RunSpec.from_value(done.spec.to_value()) == done.spec
