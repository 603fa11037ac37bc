"""From what a user asks for to a complete spec: everything is checked before anything is recorded.

References are resolved to commits here, revisions to commits of their repository, and, where the
repository is at hand, the folder and the command in it are looked up, so that most mistakes are
told to the user at once and not by a failed run.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ahstore.errors import InvalidInputError, UnsupportedError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord
from ahstore.hub.sizes import parse_size
from ahstore.ids import AssetId
from ahstore.jobs.code.command import choose_command
from ahstore.jobs.code.git import Git, check_revision
from ahstore.jobs.code.git_source import GitSource, parse_git_source
from ahstore.jobs.code.requirements import find_declaration
from ahstore.jobs.code.working_copy import (
    SHOWN_NAMES,
    Changes,
    find_working_copy,
    has_changes,
    take_changes,
)
from ahstore.jobs.environment import caller_environment
from ahstore.jobs.options import RunOptions, check_options
from ahstore.jobs.provenance.origin import find_origin
from ahstore.jobs.resources import check_resources
from ahstore.jobs.retries import parse_retries
from ahstore.jobs.running.interpreter import absolute_python, find_interpreter
from ahstore.jobs.runtime import check_again, check_runtime
from ahstore.jobs.spec import (
    CodeVersion,
    PinnedVersion,
    RunSpec,
    RunType,
    check_checkpoints,
    check_subpath,
    check_volume,
    params_to_json,
)
from ahstore.names import check_ref_name
from ahstore.versions.refs import Refs

NOT_TAKEN = (
    "The uncommitted changes in the working copy are not part of the run: commit them, or take them"
    " with --with-changes"
)


@dataclass(frozen=True, slots=True)
class GitArguments:
    """The code as the user names it."""

    repo: str
    revision: str
    subpath: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that may be started.

    Attributes:
        spec: what it is to do; of changes in its code it does not know yet where they will be.
        source: its code's repository, with the secrets that its URL may hold.
        changes: what is taken of a working copy, None for nothing; to be stored before the spec.
        notices: what the user should hear.
        hidden: values of variables that the spec does not tell, by name.
    """

    spec: RunSpec
    source: GitSource
    changes: Changes | None = None
    notices: tuple[str, ...] = ()
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)


def submit_train(
    hub: Hub,
    model: AssetRecord,
    branch: str,
    *,
    dataset: tuple[AssetRecord, str],
    checkpoint: tuple[AssetRecord, str] | None,
    volume: str | int,
    git: GitArguments,
    options: RunOptions,
) -> Submission:
    """Return a training that may be started.

    Raises:
        InvalidInputError: an argument is malformed, or an asset of the wrong kind.
        NotFoundError: a reference, the repository, the revision, the folder or the command.
    """
    _check_target(hub, model.id, branch)
    return _submit(
        hub,
        "train",
        model,
        branch=branch,
        dataset=dataset,
        checkpoint=checkpoint,
        volume=volume,
        git=git,
        options=options,
    )


def vary_train(
    hub: Hub, submission: Submission, branch: str, params: Mapping[str, Any]
) -> Submission:
    """Return the same training with other parameters, for another branch.

    Raises:
        InvalidInputError: one of the two is malformed.
    """
    _check_target(hub, submission.spec.model, branch)
    params_to_json(params)
    spec = replace(submission.spec, branch=branch, params=dict(params))
    return replace(submission, spec=spec)


def _check_target(hub: Hub, model: AssetId, branch: str) -> None:
    check_ref_name(branch, what="branch name")
    taken = Refs(hub.repo).find(model, branch)
    if taken is not None and taken.kind != "branch":
        raise InvalidInputError(f"{branch!r} is a tag; a training commits to a branch", name=branch)


def submit_evaluate(
    hub: Hub,
    model: AssetRecord,
    ref: str,
    *,
    dataset: tuple[AssetRecord, str],
    volume: str | int,
    git: GitArguments,
    options: RunOptions,
) -> Submission:
    """Return an evaluation that may be started; raises what ``submit_train`` does."""
    return _submit(
        hub,
        "evaluate",
        model,
        branch=None,
        dataset=dataset,
        checkpoint=(model, ref),
        volume=volume,
        git=git,
        options=options,
    )


def submit_rerun(
    hub: Hub,
    model: AssetRecord,
    ref: str,
    *,
    git_repo: str | None,
    python: str | None = None,
    env: Mapping[str, str | None] | None = None,
) -> Submission:
    """Return the recorded training of a version, to be done again.

    Args:
        hub: of the store.
        model: whose version it is.
        ref: the version.
        git_repo: where the code is now, if it is no longer where the training had it.
        python: another interpreter than the training asked for.
        env: variables that the training had and whose values are not recorded; others replace.

    Raises:
        InvalidInputError: it was not made by a training, or needs a variable that is not given.
        NotFoundError: the version, the dataset, the checkpoint, the repository or its commit.
    """
    check_can_run(hub)
    _check_type(model, "model")
    version = _pin(hub, model, ref, type_="model")
    origin = find_origin(hub.repo, version.commit, hub.repo.read_commit(version.commit))
    if origin is None:
        raise InvalidInputError(
            f"{version} was not made by a training that can be done again: nothing says how",
            commit=version.commit.hex(),
        )
    if origin.is_midway:
        raise InvalidInputError(
            f"{version} is a checkpoint amid the training {origin.run_name}: rerun what that made",
            commit=version.commit.hex(),
        )
    for pin in (origin.dataset, origin.checkpoint):
        if pin is not None:
            hub.repo.read_commit(pin.commit)
    arguments = GitArguments(git_repo or origin.code.repo, origin.code.commit, origin.code.subpath)
    found = _find_code("rerun", arguments, changed=origin.code.changes is not None)
    volume, timeout = origin.limits()
    caller = caller_environment()
    asked = check_again(origin.runtime(), python=_python(python), env=env, caller=caller)
    find_interpreter(asked.runtime.python, caller)
    spec = RunSpec(
        type="rerun",
        model=model.id,
        model_path=model.path,
        branch=None,
        dataset=origin.dataset,
        checkpoint=origin.checkpoint,
        code=replace(found.code, revision=origin.code.revision, changes=origin.code.changes),
        volume=check_volume(volume),
        params=dict(origin.params),
        timeout=timeout,
        verifies=version,
        runtime=asked.runtime,
    )
    return Submission(spec, found.source, hidden=asked.hidden)


def check_can_run(hub: Hub) -> None:
    """Make sure that runs can be started in this store.

    Raises:
        UnsupportedError: their supervisors could not open it.
    """
    if not hub.repo.storage.capabilities.shared_writers:
        raise UnsupportedError(
            f"runs need a store that other processes can open; {hub.repo.url} is none"
        )
    _check_storage_options(hub)


def _submit(
    hub: Hub,
    kind: RunType,
    model: AssetRecord,
    *,
    branch: str | None,
    dataset: tuple[AssetRecord, str],
    checkpoint: tuple[AssetRecord, str] | None,
    volume: str | int,
    git: GitArguments,
    options: RunOptions,
) -> Submission:
    check_can_run(hub)
    _check_type(model, "model")
    size = check_volume(parse_size(volume) if isinstance(volume, str) else volume)
    check_options(options)
    params = dict(options.get("params") or {})
    params_to_json(params)
    timeout = check_timeout(options.get("timeout"))
    checkpoints = check_checkpoints(options.get("checkpoints"))
    if kind != "train" and options.get("checkpoints") is not None:
        raise InvalidInputError("only a training commits checkpoints")
    retries = parse_retries(options.get("retries"), options.get("retry_wait"))
    resources = check_resources(
        cpus=options.get("cpus"),
        gpus=options.get("gpus"),
        memory=options.get("memory"),
        time=options.get("time"),
    )
    pinned_dataset = _pin(hub, *dataset, type_="dataset")
    pinned_checkpoint = None if checkpoint is None else _pin(hub, *checkpoint, type_="model")
    caller = caller_environment()
    asked = check_runtime(
        python=_python(options.get("python")),
        venv=bool(options.get("venv")),
        env=options.get("env"),
        caller=caller,
    )
    find_interpreter(asked.runtime.python, caller)
    found = _find_code(
        kind, git, with_changes=bool(options.get("with_changes")), venv=asked.runtime.venv
    )
    spec = RunSpec(
        type=kind,
        model=model.id,
        model_path=model.path,
        branch=branch,
        dataset=pinned_dataset,
        checkpoint=pinned_checkpoint,
        code=found.code,
        volume=size,
        params=params,
        timeout=timeout,
        checkpoints=checkpoints,
        retries=retries,
        reuse=bool(options.get("reuse")),
        runtime=asked.runtime,
        resources=resources,
    )
    return Submission(spec, found.source, found.changes, found.notices, asked.hidden)


def _python(python: str | None) -> str | None:
    return None if python is None else absolute_python(python, base=os.getcwd())


def _check_storage_options(hub: Hub) -> None:
    """Make sure that the run's supervisor can be told how to open the store."""
    try:
        json.dumps(hub.repo.storage_options)
    except (TypeError, ValueError):
        raise UnsupportedError(
            "runs need storage_options of plain values: their supervisor opens the store again"
        ) from None


def _pin(hub: Hub, asset: AssetRecord, ref: str, *, type_: str) -> PinnedVersion:
    _check_type(asset, type_)
    return PinnedVersion(asset.id, asset.path, ref, hub.resolve(asset, ref).commit)


def _check_type(asset: AssetRecord, type_: str) -> None:
    if asset.type != type_:
        raise InvalidInputError(f"{asset.path} is a {asset.type}, a {type_} is needed")


def check_timeout(timeout: float | None) -> float | None:
    """Return a time-out in seconds, None for none.

    Raises:
        InvalidInputError: it is not above 0.
    """
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise InvalidInputError(f"a timeout of {timeout} seconds can't be: give more than 0")
    return timeout


def find_recorded_code(
    kind: RunType, code: CodeVersion, *, git_repo: str | None
) -> tuple[GitSource, CodeVersion]:
    """Return where the code of a recorded run is, ``git_repo`` if it has moved, and the same code.

    Raises:
        NotFoundError: it is not there any more.
    """
    arguments = GitArguments(git_repo or code.repo, code.commit, code.subpath)
    # What lies in a working copy now is no part of it: nothing is to be said of that.
    found = _find_code(kind, arguments, changed=True)
    return found.source, replace(found.code, revision=code.revision, changes=code.changes)


@dataclass(frozen=True, slots=True)
class _FoundCode:
    source: GitSource
    code: CodeVersion
    changes: Changes | None = None
    notices: tuple[str, ...] = ()


def _find_code(
    kind: RunType,
    arguments: GitArguments,
    *,
    with_changes: bool = False,
    changed: bool = False,
    venv: bool = False,
) -> _FoundCode:
    """Find a run's code. ``changed`` says that changes are known, so the commit is not all of it."""
    subpath = check_subpath(arguments.subpath)
    revision = check_revision(arguments.revision)
    source = parse_git_source(arguments.repo, base=os.getcwd())
    git = Git(caller_environment())
    if not source.is_local:
        if with_changes:
            raise InvalidInputError(
                f"{source.url} is no local working copy: there are no changes to take with it"
            )
        commit = git.resolve(source, revision)
        return _FoundCode(source, CodeVersion(source.url, revision, commit, subpath))
    with git.mirror(source) as mirror:
        commit = mirror.resolve(revision)
        top = find_working_copy(source)
        changes: Changes | None = None
        notices: tuple[str, ...] = ()
        if with_changes:
            changes = take_changes(git, mirror, _needed(top, source), commit)
            notices = tuple(_about_changes(changes))
        elif top is not None and not changed and has_changes(git, mirror, top, commit):
            notices = (NOT_TAKEN,)
        if not changed:
            tree = commit if changes is None else changes.tree
            prefix = "" if subpath == "." else f"{subpath}/"
            choose_command(
                kind, mirror.names(tree, subpath), lambda name: mirror.read(tree, prefix + name)
            )
            if venv:
                find_declaration(subpath, lambda folder: mirror.names(tree, folder))
    taken = changes if changes is not None and changes.patch else None
    return _FoundCode(source, CodeVersion(source.url, revision, commit, subpath), taken, notices)


def _needed(top: str | None, source: GitSource) -> str:
    if top is None:
        raise InvalidInputError(f"{source.url} has no working copy: there are no changes to take")
    return top


def _about_changes(changes: Changes | None) -> Iterator[str]:
    if changes is None or not changes.patch:
        yield "The working copy has no uncommitted changes to take"
    else:
        noun = "file" if changes.files == 1 else "files"
        yield f"Taking the uncommitted changes of {changes.files} {noun}"
    if changes is not None and changes.left_out:
        shown = ", ".join(changes.left_out[:SHOWN_NAMES])
        more = len(changes.left_out) - SHOWN_NAMES
        yield (
            f"Left out, for their names say that they hold secrets: {shown}"
            + (f" and {more} more" if more > 0 else "")
        )
