"""``ah show``: one folder, asset, version, run or evaluation in full."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ahstore.cli import listings
from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import FormGroup, Verb
from ahstore.cli.log import local_time
from ahstore.cli.metadata import metadata_lines
from ahstore.cli.paths import PATH
from ahstore.cli.quantity import age, count, exact_size, short_id
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import block, clean, first_line

if TYPE_CHECKING:
    from ahstore.client.asset import Asset
    from ahstore.client.run import Run
    from ahstore.client.version import Version

FORMS = {
    "workflow": ("ahstore.cli.show:workflow", "NAME"),
    "evaluation": ("ahstore.cli.show:evaluation", "ID"),
}
Fields = dict[str, str | list[str]]


@click.command(cls=FormGroup, forms=FORMS, place="ahstore.cli.show:by_path", no_args_is_help=True)
def show() -> None:
    """Show one folder, model, dataset, version, run or evaluation in full.

    A path shows what it names: model/FOLDER, model/FOLDER/MODEL, model/FOLDER/MODEL:REF; so does
    the name of a run or the id of a run or evaluation.
    """


@click.command(cls=Verb)
@click.argument("name")
@json_option
@pass_session
def workflow(session: Session, name: str, as_json: bool) -> None:
    """Show the run NAME."""
    _show_run(session, session.store().get_workflow(name), as_json)


def _show_run(session: Session, run: Run, as_json: bool) -> None:
    record = run.to_dict() | {"metrics": run.recent_metrics()}
    if as_json:
        emit_json(record)
        return
    fields: Fields = dict(listings.workflow_fields(record, session.now))
    if record["reason"]:
        fields["REASON"] = [clean(line) for line in record["reason"].splitlines()]
    fields["GIT_COMMIT"] = record["git_commit"]
    if record["git_changes"]:
        changes = record["git_changes"]
        fields["GIT_CHANGES"] = (
            f"{count(changes['files'], 'file')}, a patch of {exact_size(changes['size_bytes'])}"
        )
    fields["DATASET_COMMIT"] = record["dataset_commit"]
    for key in ("checkpoint_commit", "commit", "evaluation"):
        if record[key]:
            fields[key.upper()] = record[key]
    fields |= _attempts(record) | _checkpoint(record["last_checkpoint"])
    if record["metrics"]:
        fields["METRICS"] = clean(_metrics(record["metrics"]))
    fields["VOLUME"] = exact_size(record["volume_bytes"])
    if record["params"]:
        fields["PARAMS"] = clean(json.dumps(record["params"]))
    if record["command"]:
        fields["COMMAND"] = clean(shlex.join(record["command"]))
    runtime = record["runtime"]
    if "env" in runtime:
        fields["ENV"] = [
            clean(name if value is None else f"{name}={value}")
            for name, value in runtime["env"].items()
        ]
    fields |= _where_it_ran(record)
    fields |= _run_facts(record["environment"], record["outcome"])
    if record["workspace"]:
        fields["WORKSPACE"] = clean(record["workspace"])
    emit(block(fields))


def _metrics(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def _attempts(record: Mapping[str, Any]) -> Fields:
    """Return what came before this attempt: attempts that failed, the run that it goes on with."""
    fields: Fields = {}
    if record["resumes"]:
        fields["RESUMES"] = record["resumes"]
    if record["reused_from"]:
        fields["REUSED_FROM"] = record["reused_from"]
    if record["retries"]:
        fields["ATTEMPT"] = f"{record['attempt']} of {record['retries'] + 1}"
    if record["failed_attempts"]:
        fields["FAILED_ATTEMPTS"] = [
            clean(f"{failed['number']}: {first_line(failed['reason'])}")
            for failed in record["failed_attempts"]
        ]
    return fields


def _checkpoint(last: Mapping[str, Any] | None) -> Fields:
    if last is None:
        return {}
    at = "" if last["step"] is None else f" at step {last['step']:.15g}"
    how_many = count(last["number"], "checkpoint")
    said = f"{how_many}, the last {short_id(last['commit'])}{at} on branch {last['branch']}"
    return {"CHECKPOINTS": said}


def _where_it_ran(record: Mapping[str, Any]) -> Fields:
    """Return what carries a run out, and what it asked for, where that is out of the ordinary."""
    fields: Fields = {}
    if record["job"]:
        job = record["job"]["id"]
        fields["ENGINE"] = clean(f"{record['engine']}, job {job}" if job else record["engine"])
    if record["resources"]:
        asked = record["resources"]
        shown = [f"{asked[what]} {what}" for what in ("cpus", "gpus") if what in asked]
        if "memory" in asked:
            shown.append(f"{exact_size(asked['memory'])} of memory")
        if "time" in asked:
            shown.append(f"{asked['time']:g} s")
        fields["RESOURCES"] = ", ".join(shown)
    return fields


def _run_facts(environment: Mapping[str, Any], outcome: Mapping[str, Any]) -> Fields:
    """Return in short what a run ran on and what it took; ``--json`` has the whole."""
    fields: Fields = {}
    if environment.get("python"):
        packages = count(len(environment["packages"]), "package")
        venv = environment.get("venv")
        made = f", environment {venv['key'][:8]} of {venv['from']}" if venv else ""
        fields["PYTHON"] = clean(f"{environment['python']}, {packages}{made}")
    if environment:
        machine = [environment["cpu"] or environment["machine"], *environment["gpus"]]
        fields["MACHINE"] = clean(f"{environment['cpus']} x {', '.join(machine)}")
    if outcome:
        fields["EXIT_STATUS"] = str(outcome["exit_status"])
        if outcome["peak_memory_bytes"] is not None:
            fields["PEAK_MEMORY"] = exact_size(outcome["peak_memory_bytes"])
        for name in ("bytes_in", "bytes_out"):
            if name in outcome:
                fields[name.upper()] = exact_size(outcome[name])
    return fields


@click.command(cls=Verb)
@click.argument("evaluation_id", metavar="ID")
@json_option
@pass_session
def evaluation(session: Session, evaluation_id: str, as_json: bool) -> None:
    """Show the evaluation with this ID."""
    _show_evaluation(session, session.store().get_evaluation(evaluation_id), as_json)


def _show_evaluation(session: Session, record: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(record)
        return
    fields = listings.evaluation_fields(record, session.now)
    results = fields.pop("RESULTS")
    how = {"RUN": record["run"]} if record["run"] else {}
    emit(block({**fields, **how, "BY": clean(record["user"]), "RESULTS": results}))


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@json_option
@pass_session
def by_path(session: Session, path: str, as_json: bool) -> None:
    """Show what PATH names: model/FOLDER[/MODEL[:REF]], dataset/…, a run or an evaluation."""
    from ahstore.client.folder import Folder  # start-up
    from ahstore.client.run import Run
    from ahstore.client.version import Version

    store = session.store()
    by_id = store.find_by_id(path)
    if by_id is not None:
        if isinstance(by_id, Run):
            _show_run(session, by_id, as_json)
        else:
            _show_evaluation(session, store.get_evaluation(by_id.id), as_json)
        return
    found = store.get(path)
    if isinstance(found, Folder):
        record = found.to_dict()
        record["assets"] = len(found.list_asset())
        fields = _named_fields(session, record) | {"HOLDS": count(record["assets"], found.kind)}
    elif isinstance(found, Version):
        record = version_record(found)
        fields = _version_fields(session, record)
    else:
        record = _asset_record(found)
        fields = _asset_fields(session, record)
    if as_json:
        emit_json(record)
    else:
        emit(block(fields))


def _named_fields(session: Session, record: Mapping[str, Any]) -> Fields:
    fields: Fields = {"ID": record["id"], "PATH": record["path"]}
    if record["labels"]:
        fields["LABELS"] = clean(", ".join(record["labels"]))
    if record["description"]:
        fields["DESCRIPTION"] = [clean(line) for line in record["description"].splitlines()]
    return fields | {"CREATED": age(listings.seconds(record["created"]), session.now)}


def _asset_record(asset: Asset) -> dict[str, Any]:
    record = asset.to_dict()
    record["branches"] = [branch["name"] for branch in asset.list_branch()]
    record["tags"] = [tag["name"] for tag in asset.list_tag()]
    return record


def _asset_fields(session: Session, record: Mapping[str, Any]) -> Fields:
    fields = _named_fields(session, record) | {"BRANCHES": ", ".join(record["branches"])}
    return fields | {"TAGS": ", ".join(record["tags"])} if record["tags"] else fields


def version_record(version: Version) -> dict[str, Any]:
    """Return a version's commit, and how many objects and bytes it holds."""
    commit = version.get_commit()
    objects, size = commit.totals()
    return commit.to_dict() | {
        "changes": commit.changes(),
        "path": version.path,
        "objects": objects,
        "size_bytes": size,
    }


def _version_fields(session: Session, record: Mapping[str, Any]) -> Fields:
    created = record["creation_date"]
    fields: Fields = {
        "PATH": record["path"],
        "COMMIT_ID": record["id"],
        "PARENTS": ", ".join(map(short_id, record["parents"])),
        "COMMITTER": clean(record["committer"]),
        "CREATED": f"{age(created, session.now)} ({local_time(created)})",
        "MESSAGE": [clean(line) for line in record["message"].splitlines()],
        "OBJECTS": f"{record['objects']} ({exact_size(record['size_bytes'])})",
        "CHANGES": _changes(record["changes"]),
        "META_RANGE_ID": record["meta_range_id"],
    }
    if record["metadata"]:
        fields["METADATA"] = metadata_lines(record["metadata"])
    return fields


def _changes(counts: Mapping[str, int]) -> str:
    shown = ", ".join(
        f"{counts[what]} {what}" for what in ("added", "modified", "deleted") if counts[what]
    )
    grown = counts["grown_bytes"]
    return f"{shown} ({'-' if grown < 0 else '+'}{exact_size(abs(grown))})" if shown else "none"
