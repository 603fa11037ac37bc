"""Makes a store that is kept for ever, as one file, and what has to be read from it.

``python -m tests.old_stores.make NAME`` writes ``NAME.tar.gz`` and ``NAME.json`` beside this file. To be run when
the format gets a new number (or, before the first release, a new part): a store that was released
is never made again, for it is there to show that it can still be read.

``format-1`` holds something of everything: two kinds of folders, renamed and deleted things, merges,
resets, tags, all forms of chunks, lists of chunks, pages of two levels, large payloads, a segment of
the index, what gc leaves. ``format-1-runs`` holds little of that, and runs: trainings with logs and
metrics, a continued and a failed one, an evaluation, a rerun. They need git and a POSIX shell.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ahstore.chunks.cutter import CuttingParameters
from ahstore.client.store import Store
from ahstore.hub.records import AssetRecord
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.repository import Repository
from tests.jobs.repositories import make_repository

MODEL, DATASET = "model/img/net", "dataset/images/digits"
HERE = Path(__file__).parent
CUTTING = CuttingParameters(nominal=16384, min=4096, max=65536)
"""Smaller chunks than usual, so that a small file has a list of them."""


def noise(size: int, seed: str) -> bytes:
    """Return bytes that can't be compressed, the same everywhere."""
    blocks = (hashlib.sha256(f"{seed}{at}".encode()).digest() for at in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def floats(count: int) -> bytes:
    return struct.pack(f"<{count}f", *[1 + i / 1000 for i in range(count)])


def write(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if name.endswith(".sh"):
            path.chmod(0o755)
    return f"{folder}/*"


def fill(store: Store, work: Path, *, small: bool = False) -> None:
    """Do what leaves every part of the format behind; ``small``: with little in the files."""
    store.create("model/img", labels=["vision", "é"], description="models of images")
    store.create("model/img/net", labels=["small"], description="d" * 5000)
    store.create("dataset/img")
    store.create("dataset/img/digits")
    store.create("model/gone")
    store.create("model/gone/deleted")
    many = {
        f"train/{i % 10}/{i:04}.txt": b"digit %d\n" % i * (i % 30)
        for i in range(40 if small else 400)
    }
    store.commit("dataset/img/digits", "Add digits", add=[write(work / "digits", many)])
    store.create("dataset/img/digits:v1", resource="tag")
    first = {
        "weights.bin": noise(1_500 if small else 150_000, "weights"),
        "floats.bin": floats(600 if small else 60_000),
        "table.csv": b"".join(
            b"the value of row %07d is here\n" % row for row in range(200 if small else 20_000)
        ),
        "text.md": b"hello world\n" * 400,
        "empty": b"",
        "run.sh": b"#!/bin/sh\n",
        "päth/数据.json": b"{}\n",
        "odd.unknown-extension": b"?",
    }
    store.commit(
        "model/img/net", "First", add=[write(work / "first", first)], metadata={"a": [1, 2.5, None]}
    )
    store.create("model/img/net:v1", resource="tag")
    store.create("model/img/net:Dev")
    store.commit("model/img/net:Dev", "On Dev", add=[write(work / "dev", {"dev": b"dev\n"})])
    store.commit(
        "model/img/net",
        "On main",
        add=[write(work / "main", {"text.md": b"changed\n"})],
        delete=["empty"],
    )
    store.merge("model/img/net:Dev", "main", msg="Merge Dev")
    store.create("model/img/net:tmp")
    store.commit(
        "model/img/net:tmp", "Lost", add=[write(work / "tmp", {"lost": noise(3_000, "lost")})]
    )
    store.reset("model/img/net:tmp", "v1")
    store.create("model/img/net:dead")
    store.delete("model/img/net:dead")
    version = store.version("model/img/net")
    version.create_evaluation({"metric": {"accuracy": 0.9883}}, "dataset/img/digits")
    version.create_evaluation({"long": {"text": "x" * 5000}}, "dataset/img/digits:v1")
    store.update("model/gone/deleted", name="renamed")
    store.delete("model/gone", force=True)
    store.update("dataset/img", name="images")


TRAIN = """\
echo "training with $AH_PARAMS"
printf '{"step": 1, "loss": 0.5}\\n{"step": 2, "loss": 0.25}\\n' > "$AH_METRICS_FILE"
cat "$AH_DATASET_DIR"/train/1/*.txt > "$AH_OUTPUT_DIR/model.bin"
if [ -n "$AH_CHECKPOINT_DIR" ]; then cat "$AH_CHECKPOINT_DIR/model.bin" >> "$AH_OUTPUT_DIR/model.bin"; fi
"""
EVALUATE = """\
echo "evaluating" >&2
printf '{"accuracy": 0.75, "loss": 0.25}' > "$AH_RESULTS_DIR/metric.json"
"""
FAIL = 'echo "no such layer"; exit 3\n'
CODE_FILES = {"train.sh": TRAIN, "evaluate.sh": EVALUATE, "broken/train.sh": FAIL}


def fill_with_runs(store: Store, work: Path) -> None:
    """Do what leaves every kind of run behind."""
    fill(store, work, small=True)
    code = work / "code"
    make_repository(code, CODE_FILES)
    model = store.model(MODEL)
    common = {"volume": "16Mi", "git_repo": str(code), "git_revision": "master"}
    for checkpoint in (None, f"{MODEL}:trained"):
        model.train("trained", DATASET, params={"lr": 0.1}, checkpoint=checkpoint, **common).wait()
    model.train("lost", DATASET, git_subpath="broken", **common).wait()
    store.version(f"{MODEL}:trained").evaluate(DATASET, **common).wait()
    store.core.jobs.wait(store.core.jobs.rerun(model.record, "trained~1"))
    assert sorted(run["status"] for run in model.list_workflow()) == ["Failed", *["Succeeded"] * 4]


FILLS = {"format-1": fill, "format-1-runs": fill_with_runs}


def runs_of(store: Store, asset: AssetRecord) -> dict[str, Any]:
    """Return what has to be read of a model's runs, by name."""
    jobs = store.core.jobs
    return {
        run.name: {
            "id": run.id,
            "record": [run.by, run.state, run.reason, list(run.command), run.created, run.ended],
            "commit": run.commit and run.commit.hex(),
            "evaluation": run.evaluation,
            "spec": plain(run.spec.to_value()),
            "environment": plain(run.environment),
            "outcome": plain(run.outcome),
            "logs": list(jobs.logs(run)),
            "metrics": [dict(point) for point in jobs.metrics(run)],
        }
        for run in jobs.list(asset)
    }


def plain(value: Any) -> Any:
    """Return a document with its bytes in hex."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def seen(store: Store) -> dict[str, Any]:
    """Return what has to be read from the store, for ever."""
    found: dict[str, Any] = {}
    for folder in store.list_folder():
        found[folder["path"]] = {"id": folder["id"], "labels": folder["labels"]}
        for asset in store.list(folder["path"]):
            path = f"{folder['path']}/{asset['name']}"
            refs = {}
            for kind in ("branch", "tag"):
                for ref in store.list(path, resource=kind):  # type: ignore[arg-type]
                    version = store.version(f"{path}:{kind}/{ref['name']}")
                    refs[f"{kind}/{ref['name']}"] = {
                        "commits": [each["id"] for each in version.list_commit()],
                        "objects": {
                            row["path"]: [
                                row["size_bytes"],
                                row["checksum"],
                                row["content_type"],
                                row["mtime"],
                            ]
                            for row in version.list_object()
                        },
                    }
            evaluations = (
                store.core.hub.list_evaluations(store.asset(path).record.id)
                if "/model/" in path
                else []
            )
            found[path] = {
                "id": asset["id"],
                "labels": asset["labels"],
                "description": asset["description"],
                "refs": refs,
                "evaluations": {
                    e.id: [e.model_commit.hex(), e.dataset_commit.hex(), e.results]
                    for e in evaluations
                },
            }
            if runs := runs_of(store, store.asset(path).record):
                found[path]["runs"] = runs
    return found


def packed(folder: Path) -> bytes:
    """Return a folder as a tar archive that is the same for the same files."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = str(path.relative_to(folder))
            if name.startswith((".local/", "hints/", "cells/lease/")):
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o444
            tar.addfile(info, io.BytesIO(path.read_bytes()))
    return out.getvalue()


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        Repository.open(str(root / "store"), create=True, cutting=CUTTING).close()
        with Store.open(
            root / "store", user="ann", cache_dir=root / "cache", runs_dir=root / "runs"
        ) as store:
            FILLS[name](store, root / "work")
            store.core.repo.index.consolidate(everything=True)
            collect(store.core.repo, Policy(now=True, retention=0, repack=False))
        with Store.open(root / "store", user="ann", cache_dir=root / "other") as store:
            told = json.dumps(seen(store), indent=1, sort_keys=True, ensure_ascii=False)
        (HERE / f"{name}.tar.gz").write_bytes(packed(root / "store"))
        (HERE / f"{name}.json").write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
