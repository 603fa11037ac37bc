"""docs/format/runs.md against the code: every key of every document, which of them may be missing,
and the limits."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from ahstore.codec import canonical
from ahstore.errors import CorruptError
from ahstore.ids import AssetId, CommitId, EvaluationId, RunId, new_entity_id
from ahstore.jobs import logs, metrics, progress
from ahstore.jobs.engines.contract import Job
from ahstore.jobs.progress import Checkpoint, FailedAttempt, ReusedRun
from ahstore.jobs.provenance import verdict
from ahstore.jobs.records import (
    MAX_REASON_LENGTH,
    NAME_LENGTH,
    NAME_LETTERS,
    NAME_PREFIX,
    STATES,
    RunRecord,
)
from ahstore.jobs.resources import Resources
from ahstore.jobs.retries import Retries
from ahstore.jobs.running import metadata as metadata_module
from ahstore.jobs.running import surroundings, venv
from ahstore.jobs.runtime import Runtime
from ahstore.jobs.spec import CodeChanges, CodeVersion, PinnedVersion, Resumption, RunSpec
from ahstore.storage.cells import CellState, CellVersion
from ahstore.storage.process import ProcessIdentity
from tests.format.page import FormatPage

PAGE = FormatPage("runs")
COMMIT = CommitId(bytes(range(32)))  # type: ignore[arg-type]
PINNED = PinnedVersion(AssetId(new_entity_id()), "u/model/f/a", "main", COMMIT)


def full_spec() -> RunSpec:
    return RunSpec(
        type="train",
        model=PINNED.asset,
        model_path="u/model/f/m",
        branch="b",
        dataset=PINNED,
        checkpoint=PINNED,
        code=CodeVersion("https://h/r", "v1", "1" * 40, ".", CodeChanges(COMMIT, "2" * 40, 1, 9)),
        volume=4096,
        params={"lr": 0.1},
        timeout=1.5,
        checkpoints="none",
        retries=Retries(2, 1.0),
        resumes=Resumption(RunId(new_entity_id()), "asset-hub-bcdfg", 3.0, PINNED),
        reuse=True,
        runtime=Runtime("3.11", True, {"A": "b", "SECRET": None}),
        resources=Resources(2, 1, 1 << 30, 60.0),
    )


def bare_spec() -> RunSpec:
    code = CodeVersion("https://h/r", "v1", "1" * 40, ".")
    return RunSpec("train", PINNED.asset, "p", "b", PINNED, None, code, 4096)


def full_record() -> RunRecord:
    checkpoint = Checkpoint("run-bcdfg", COMMIT, 1, 1, 5.0, 2.0)
    return RunRecord(
        id=RunId(new_entity_id()),
        name="asset-hub-bcdfg",
        by="ann",
        spec=full_spec(),
        state="Running",
        supervisor=ProcessIdentity.current(),
        workspace="/runs/x",
        created=1.0,
        started=2.0,
        ended=3.0,
        reason="x",
        stop_by="bob",
        command=("python", "train.py"),
        commit=COMMIT,
        evaluation=EvaluationId(new_entity_id()),
        environment={"schema": 1},
        outcome={"exit_status": 0},
        fence_due=True,
        checkpoint=checkpoint,
        publishing=checkpoint,
        attempts=(FailedAttempt(1, 1.0, 2.0, "because"),),
        reused_from=ReusedRun(RunId(new_entity_id()), "asset-hub-ghjkl"),
        job=Job("slurm", "ahstore-x", "17", {"cluster": "c"}, {"partition": "p"}),
    )


def bare_record() -> RunRecord:
    supervisor = ProcessIdentity.current()
    return RunRecord(
        RunId(new_entity_id()),
        "asset-hub-bcdfg",
        "ann",
        bare_spec(),
        "Pending",
        supervisor,
        "/w",
        1.0,
    )


def check(after: str, full: dict[str, Any], bare: dict[str, Any] | None = None) -> None:
    """Compare a table's keys with a document that has all of them, and one with no optional one."""
    said = PAGE.keys(after)
    assert set(said) == set(full)
    if bare is not None:
        assert {key for key, optional in said.items() if not optional} == set(bare)


def test_the_record_and_what_is_in_it() -> None:
    full, bare = full_record().to_value(), bare_record().to_value()
    check("## The record", full, bare)
    check("A checkpoint:", full["checkpoint"])  # type: ignore[arg-type]
    check("A job:", full["job"])  # type: ignore[arg-type]
    check("The spec:", full["spec"], bare["spec"])  # type: ignore[arg-type]
    spec: Any = full["spec"]
    check("### Runtime", spec["runtime"])
    check("### Changes", spec["code"]["changes"])
    for text, document in {
        "{number, started, ended, reason}": full["attempts"][0],  # type: ignore[index,call-overload]
        "{run, name}": full["reused_from"],
        "{asset, path, ref, commit}": spec["dataset"],
        "{limit, wait}": spec["retries"],
        "{run, name, step, start}": spec["resumes"],
    }.items():
        assert f"`{text}`" in PAGE.text
        assert set(document) == set(text.strip("{}").split(", "))
    assert set(spec["resources"]) == {"cpus", "gpus", "memory", "time"}
    assert set(spec["code"]) == {"repo", "revision", "commit", "subpath", "changes"}
    # And no field of the classes is left out of these documents.
    told = {"id", "number", "written"}
    assert {each.name for each in fields(RunRecord)} - told == set(full)
    assert {each.name for each in fields(RunSpec)} == set(spec)


def test_the_types_of_what_is_stored() -> None:
    value: Any = canonical.decode(canonical.encode(full_record().to_value()))
    for commit in (
        value["commit"],
        value["checkpoint"]["commit"],
        value["spec"]["dataset"]["commit"],
    ):
        assert (type(commit), len(commit)) == (bytes, 32)
    assert len(value["evaluation"]) == len(value["spec"]["model"]) == 36
    for time in (value["created"], value["started"], value["ended"], value["checkpoint"]["time"]):
        assert type(time) is float
    assert json.loads(value["spec"]["params"]) == {"lr": 0.1}
    assert value["spec"]["code"]["changes"]["commit"] == bytes(COMMIT).hex()
    assert set(value["supervisor"]) == {"host", "boot", "namespace", "pid", "start"}
    assert (
        "Commits are 32 bytes, ids of other things texts of 36 characters, times floats"
        in PAGE.words
    )
    # Whoever reads one that lacks a key that must be there says so.
    record = full_record()
    for key in [key for key, optional in PAGE.keys("## The record").items() if not optional]:
        lacking = {name: each for name, each in record.to_value().items() if name != key}
        version = CellVersion(0, CellState.LIVE, lacking, bytes(16), 0.0)
        with pytest.raises(CorruptError):
            RunRecord.from_version(record.id, version)
    for key in [key for key, optional in PAGE.keys("## The record").items() if optional]:
        lacking = {name: each for name, each in record.to_value().items() if name != key}
        read = RunRecord.from_version(
            record.id, CellVersion(0, CellState.LIVE, lacking, bytes(16), 0.0)
        )
        assert replace(read, number=-1).to_value() == lacking


def test_states_names_and_limits() -> None:
    for state in STATES:
        assert f"`{state}`" in PAGE.text
    assert f"Names are `{NAME_PREFIX}` and five of `{NAME_LETTERS}`" in PAGE.text
    assert NAME_LENGTH == 5
    assert f"up to {MAX_REASON_LENGTH:,} characters" in PAGE.text
    assert f"`reason` up to {progress.MAX_ATTEMPT_REASON:,} characters" in PAGE.text
    assert f"longer ones are cut after {logs.MAX_LINE_BYTES >> 10} KiB" in PAGE.words
    assert (
        f"after the *n*-th, *n* · {logs.FLUSH_GROWTH_SECONDS:g} s pass, at most {logs.SLOWEST_FLUSH_SECONDS:g} s"
        in PAGE.words
    )
    assert f"Segments are written {logs.FIRST_FLUSH_SECONDS:g} s apart at first" in PAGE.words
    assert logs.SEGMENT_BYTES == 1 << 20
    assert "or when 1 MiB has gathered" in PAGE.words
    assert (
        f"After {logs.MAX_LOG_BYTES >> 20} MiB the middle is left out: the last {logs.TAIL_BYTES >> 10} KiB"
        in PAGE.words
    )
    assert f"at most {metrics.MAX_LINE_BYTES >> 10} KiB each" in PAGE.words
    assert f"`{logs.NOTE.decode()}`" in PAGE.text
    assert f"the first {verdict.SHOWN_FILES}: `path`" in PAGE.words
    assert f"of the first {verdict.OPENED_FILES} modified ones" in PAGE.words
    assert f"in `parts` the first {verdict.SHOWN_PARTS} " in PAGE.words
    assert (
        f"beyond the last {venv.KEPT}, or that nobody used for {venv.KEPT_SECONDS / 86_400:g} days"
        in PAGE.words
    )
    assert f"The key is the first {venv.KEY_LENGTH} hex digits" in PAGE.words


def test_the_environment() -> None:
    found = surroundings.describe({"version": "3", "implementation": "CPython"}, {}, {})
    said = PAGE.keys("The environment:")
    assert {key for key, optional in said.items() if not optional} == set(found)
    assert {key for key, optional in said.items() if optional} == {"venv"}
    assert set(metadata_module.OUTCOME_SHOWN) <= set(PAGE.keys("The outcome:"))


def test_asset_hub_metadata() -> None:
    record = full_record()

    def written(spec: RunSpec, **more: Any) -> dict[str, Any]:
        data = metadata_module.encode_metadata(
            run=record.id,
            name=record.name,
            by="ann",
            spec=spec,
            command=["python"],
            started=1.0,
            ended=2.0,
            environment={},
            outcome={},
            **more,
        )
        document: dict[str, Any] = json.loads(data)
        return document

    history = metadata_module.history_of(record)
    midway = {"branch": "b", "number": 1, "attempt": 1, "step": None, "time": 1.0}
    full = written(full_spec(), metrics={"a": 1}, midway=midway, history=history)
    said = PAGE.keys("## `asset-hub.metadata`")
    assert set(said) == set(full)
    assert {key for key, optional in said.items() if not optional} - {"metrics"} == set(
        written(bare_spec())
    )
    for text, document in {
        "{id, name, by}": full["run"],
        "{id, path, ref, commit}": full["dataset"],
        "{run, name, step}": full["resumes"],
        "{branch, number, attempt, step, time}": full["midway"],
    }.items():
        assert f"`{text}`" in PAGE.text
        assert set(document) == set(text.strip("{}").split(", "))


def test_the_modules_named_are_there() -> None:
    root = Path(logs.__file__).parents[2]
    named = PAGE.text[PAGE.text.index("Implemented by") : PAGE.text.index("Cells are described")]
    for part in named.split("`")[1::2]:
        if part.endswith(".py"):
            assert (root / "ahstore" / "jobs" / part).is_file(), part
