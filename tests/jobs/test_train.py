from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.jobs.conftest import House

TRAIN = """
import json, os, sys
from pathlib import Path
data = Path(os.environ["AH_DATASET_DIR"])
out = Path(os.environ["AH_OUTPUT_DIR"])
print("images:", (data / "train" / "images").read_bytes())
print("cwd:", os.getcwd(), "argv:", sys.argv)
(out / "sub").mkdir()
(out / "sub" / "state.json").write_text(json.dumps({"params": json.loads(os.environ["AH_PARAMS"])}))
old = os.environ.get("AH_CHECKPOINT_DIR")
before = Path(old, "model").read_bytes() if old else b""
(out / "model").write_bytes(before + b"1")
Path(os.environ["AH_METRICS_FILE"]).write_text('{"loss": 0.5}')
"""


def test_a_training_commits_its_outputs(house: House) -> None:
    run = house.train(TRAIN, params={"epochs": 5, "rate": 0.1})
    assert run.status == "Pending"
    done = house.wait(run)
    assert (done.status, done.reason) == ("Succeeded", None), house.log(run)
    assert done.commit == house.head("b")
    files = house.files(done.commit)
    assert set(files) == {"asset-hub.metadata", "model", "sub/state.json"}
    assert json.loads(files["sub/state.json"]) == {"params": {"epochs": 5, "rate": 0.1}}
    commit = house.repo.read_commit(done.commit)
    assert commit.parents == (house.head("main"),)
    assert commit.metadata["run"] == run.id
    metadata = json.loads(files["asset-hub.metadata"])
    assert metadata["schema_version"] == 1
    assert metadata["code"]["repo"] == str(house.code)
    assert metadata["code"]["revision"] == "master"
    assert len(metadata["code"]["commit"]) == 40
    assert metadata["dataset"]["commit"] == done.spec.dataset.commit.hex()
    assert metadata["dataset"]["path"] == "user/dataset/image-classification/mnist"
    assert metadata["run"] == {"id": run.id, "name": run.name, "by": "user"}
    assert metadata["params"] == {"epochs": 5, "rate": 0.1}
    assert metadata["command"] == ["python", "train.py"]
    assert metadata["metrics"] == {"loss": 0.5}
    assert "images: b'images'" in house.log(run)


def test_a_training_continues_a_checkpoint(house: House) -> None:
    first = house.wait(house.train(TRAIN))
    second = house.wait(house.train(branch="c", checkpoint=(house.model, "b")))
    assert second.status == "Succeeded", house.log(second)
    assert second.commit is not None
    assert house.files(second.commit)["model"] == b"11"
    assert house.repo.read_commit(second.commit).parents == (first.commit,)
    third = house.wait(house.train(branch="b", checkpoint=(house.model, "c")))
    assert third.commit is not None
    # The branch is there: its head is the parent, and the tree is the new outputs alone.
    assert house.repo.read_commit(third.commit).parents == (first.commit,)
    assert house.files(third.commit)["model"] == b"111"


def test_inputs_come_read_only_and_the_workspace_goes(house: House) -> None:
    code = """
import os
from pathlib import Path
for path in (Path(os.environ["AH_DATASET_DIR"]), *Path(os.environ["AH_DATASET_DIR"]).rglob("*")):
    print("mode", path.name, oct(path.stat().st_mode & 0o777))
Path(os.environ["AH_OUTPUT_DIR"], "x").write_text("x")
"""
    done = house.wait(house.train(code))
    log = house.log(done)
    assert "mode images 0o444" in log
    assert "mode train 0o555" in log
    assert done.status == "Succeeded"
    for _ in range(100):
        if not Path(done.workspace).exists():
            break
        time.sleep(0.05)
    assert not Path(done.workspace).exists()


def test_the_command_may_come_from_asset_hub_toml(house: House) -> None:
    house.make_code(
        {
            "mnist/asset-hub.toml": '[train]\ncommand = "python -c \'import os; open(os.environ[\\"AH_OUTPUT_DIR\\"] + \\"/x y\\", \\"w\\")\'"\n',
        }
    )
    done = house.wait(house.train(git_subpath="mnist"))
    assert done.status == "Succeeded", house.log(done)
    assert done.commit is not None
    assert set(house.files(done.commit)) == {"asset-hub.metadata", "x y"}


def test_a_shell_script_runs(house: House) -> None:
    house.make_code({"train.sh": 'echo "from $AH_RUN_NAME" > "$AH_OUTPUT_DIR/out"\n'})
    done = house.wait(house.train())
    assert done.commit is not None
    assert house.files(done.commit)["out"] == f"from {done.name}\n".encode()


def test_python_in_a_script_is_the_one_that_runs_ahstore(house: House) -> None:
    # Else a script finds another interpreter, or (where there is only python3) none.
    script = "for p in python python3; do $p -c 'import sys; print(sys.prefix)' \"$@\"; done"
    house.make_code({"train.sh": f'({script}) | tee "$AH_OUTPUT_DIR/prefix"\n'})
    done = house.wait(house.train())
    assert done.commit is not None
    assert house.files(done.commit)["prefix"].decode().split() == [sys.prefix] * 2


def test_user_code_starts_with_the_usual_signals(house: House) -> None:
    # Code that inherits ignored signals can't be interrupted, or misses the end of its children.
    script = 'grep -E "Sig(Ign|Blk)" /proc/self/status | tee "$AH_OUTPUT_DIR/signals"\n'
    house.make_code({"train.sh": script})
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        run = house.train()
    finally:
        signal.signal(signal.SIGCHLD, old)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    done = house.wait(run)
    assert done.status == "Succeeded", done.reason
    masks = [int(line.split()[1], 16) for line in house.log(run).splitlines() if "Sig" in line]
    # Signals 32 and 33 are the C library's own: below make they come ignored, and stay so.
    assert [mask & 0x7FFFFFFF for mask in masks] == [0, 0]


def test_a_relative_pythonpath_of_the_caller(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # The supervisor does not work in the caller's folder.
    monkeypatch.setenv("PYTHONPATH", os.path.relpath(os.pathsep.join(sys.path[1:2])))
    assert house.wait(house.train(TRAIN)).status == "Succeeded"


def test_the_example_of_the_documentation_runs(house: House) -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/train-code.md").read_text()
    blocks = (part.partition("```")[0] for part in text.split("```python\n")[1:])
    train, evaluate, logging = blocks
    done = house.wait(house.train(train, params={"epochs": 2}))
    assert done.status == "Succeeded", done.reason
    assert done.commit is not None
    assert house.files(done.commit)["model.json"] == b'{"bytes_seen": 12}'
    evaluated = house.wait(house.evaluate(evaluate, "b"))
    assert evaluated.status == "Succeeded", evaluated.reason
    logged = house.wait(house.train(logging + train, params={"epochs": 2}, branch="c"))
    assert [point["loss"] for point in house.jobs.metrics(logged)] == [1.0, 0.5]


def test_runs_are_listed_newest_first(house: House) -> None:
    first = house.train(TRAIN)
    second = house.train(branch="c")
    assert [run.name for run in house.jobs.list(house.model)] == [second.name, first.name]
    assert house.jobs.get(first.id).name == first.name
    assert house.jobs.get(first.name).id == first.id
    for run in (first, second):
        assert house.wait(run).status == "Succeeded"


def test_two_trainings_to_one_branch_both_land(house: House) -> None:
    runs = [house.train(TRAIN), house.train()]
    commits = [house.wait(run).commit for run in runs]
    head = house.head("b")
    assert head in commits
    parents = house.repo.read_commit(head).parents
    assert set(commits) == {head, *parents}
