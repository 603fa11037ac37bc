"""From what a user asks for to a complete spec: everything is checked before anything is recorded.

References are resolved to commits here, revisions to commits of their repository, and, where the
repository is at hand, the folder and the command in it are looked up, so that most mistakes are
told to the user at once and not by a failed run.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace

from ahstore.errors import InvalidInputError, UnsupportedError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord
from ahstore.hub.sizes import parse_size
from ahstore.jobs.code.command import choose_command
from ahstore.jobs.code.git import Git, check_revision
from ahstore.jobs.code.git_source import GitSource, parse_git_source
from ahstore.jobs.environment import caller_environment
from ahstore.jobs.options import RunOptions, check_options
from ahstore.jobs.provenance.origin import find_origin
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


@dataclass(frozen=True, slots=True)
class GitArguments:
    """The code as the user names it."""

    repo: str
    revision: str
    subpath: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that may be started: its spec, and the source with the secrets its URL may hold."""

    spec: RunSpec
    source: GitSource


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
    check_ref_name(branch, what="branch name")
    taken = Refs(hub.repo).find(model.id, branch)
    if taken is not None and taken.kind != "branch":
        raise InvalidInputError(f"{branch!r} is a tag; a training commits to a branch", name=branch)
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


def submit_rerun(hub: Hub, model: AssetRecord, ref: str, *, git_repo: str | None) -> Submission:
    """Return the recorded training of a version, to be done again.

    Args:
        hub: of the store.
        model: whose version it is.
        ref: the version.
        git_repo: where the code is now, if it is no longer where the training had it.

    Raises:
        InvalidInputError: it was not made by a training.
        NotFoundError: the version, the dataset, the checkpoint, the repository or its commit.
    """
    _check_can_run(hub)
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
    source, code = _find_code("rerun", arguments)
    volume, timeout = origin.limits()
    spec = RunSpec(
        type="rerun",
        model=model.id,
        model_path=model.path,
        branch=None,
        dataset=origin.dataset,
        checkpoint=origin.checkpoint,
        code=replace(code, revision=origin.code.revision),
        volume=check_volume(volume),
        params=dict(origin.params),
        timeout=timeout,
        verifies=version,
    )
    return Submission(spec, source)


def _check_can_run(hub: Hub) -> None:
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
    _check_can_run(hub)
    _check_type(model, "model")
    size = check_volume(parse_size(volume) if isinstance(volume, str) else volume)
    check_options(options)
    params = dict(options.get("params") or {})
    params_to_json(params)
    timeout = _check_timeout(options.get("timeout"))
    checkpoints = check_checkpoints(options.get("checkpoints"))
    if kind != "train" and options.get("checkpoints") is not None:
        raise InvalidInputError("only a training commits checkpoints")
    pinned_dataset = _pin(hub, *dataset, type_="dataset")
    pinned_checkpoint = None if checkpoint is None else _pin(hub, *checkpoint, type_="model")
    source, code = _find_code(kind, git)
    spec = RunSpec(
        type=kind,
        model=model.id,
        model_path=model.path,
        branch=branch,
        dataset=pinned_dataset,
        checkpoint=pinned_checkpoint,
        code=code,
        volume=size,
        params=params,
        timeout=timeout,
        checkpoints=checkpoints,
    )
    return Submission(spec, source)


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


def _check_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise InvalidInputError(f"a timeout of {timeout} seconds can't be: give more than 0")
    return timeout


def _find_code(kind: RunType, arguments: GitArguments) -> tuple[GitSource, CodeVersion]:
    subpath = check_subpath(arguments.subpath)
    revision = check_revision(arguments.revision)
    source = parse_git_source(arguments.repo, base=os.getcwd())
    git = Git(caller_environment())
    if source.is_local:
        with git.mirror(source) as mirror:
            commit = mirror.resolve(revision)
            prefix = "" if subpath == "." else f"{subpath}/"
            choose_command(
                kind,
                mirror.names(commit, subpath),
                lambda name: mirror.read(commit, prefix + name),
            )
    else:
        commit = git.resolve(source, revision)
    return source, CodeVersion(source.url, revision, commit, subpath)
