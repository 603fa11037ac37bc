"""What a run is to do: which code, which versions of which assets, with which limits.

A spec is complete and pinned: every reference has been resolved to a commit, and it holds no
secret. It is part of the run's record, so ``to_value`` and ``from_value`` are format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import AssetId, CommitId, RunId, check_address, parse_entity_id
from ahstore.jobs.progress import CHECKPOINT_MODES, OWN_BRANCH_PREFIX, CheckpointMode, check_step
from ahstore.jobs.resources import NOTHING_ASKED, Resources
from ahstore.jobs.retries import NO_RETRIES, Retries
from ahstore.jobs.runtime import Runtime
from ahstore.names import check_object_path

RunType = Literal["train", "evaluate", "rerun"]
RUN_TYPES: tuple[RunType, ...] = ("train", "evaluate", "rerun")

MIN_VOLUME_BYTES = 4096
MAX_PARAMS_BYTES = 64 << 10

_GIT_ID = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True)
class PinnedVersion:
    """A version of an asset: ``path`` (``user/model/f/a``) and ``ref`` as the user named them."""

    asset: AssetId
    path: str
    ref: str
    commit: CommitId

    def __str__(self) -> str:
        return f"{self.path}:{self.ref}"

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored."""
        return {"asset": self.asset, "path": self.path, "ref": self.ref, "commit": self.commit}

    @staticmethod
    def from_value(value: Any) -> PinnedVersion:
        """Return what ``to_value`` stored."""
        return PinnedVersion(
            AssetId(parse_entity_id(value["asset"])),
            _text(value, "path"),
            _text(value, "ref"),
            CommitId(check_address(value["commit"])),
        )


@dataclass(frozen=True, slots=True)
class CodeChanges:
    """Uncommitted changes that a run's code has on its commit.

    ``commit`` (of the store) holds them as a patch, which leads to git's ``tree``; ``files`` is how
    many files it touches, ``size`` its bytes.
    """

    commit: CommitId
    tree: str
    files: int
    size: int

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored, in which JSON can hold it too."""
        return {
            "commit": self.commit.hex(),
            "tree": self.tree,
            "files": self.files,
            "size_bytes": self.size,
        }

    @staticmethod
    def from_value(value: Any) -> CodeChanges:
        """Return what ``to_value`` stored."""
        tree = _text(value, "tree")
        if not _GIT_ID.match(tree):
            raise InvalidInputError("the tree of the changes is none of git's")
        return CodeChanges(
            CommitId(check_address(bytes.fromhex(_text(value, "commit")))),
            tree,
            int(value["files"]),
            int(value["size_bytes"]),
        )


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """The code of a run: ``repo`` and ``revision`` as recorded, ``commit`` what they meant.

    ``changes`` are those that a working copy had on it, None for exactly the commit.
    """

    repo: str
    revision: str
    commit: str
    subpath: str
    changes: CodeChanges | None = None

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored."""
        value: dict[str, Value] = {
            "repo": self.repo,
            "revision": self.revision,
            "commit": self.commit,
            "subpath": self.subpath,
        }
        if self.changes is not None:
            value["changes"] = self.changes.to_value()
        return value

    @staticmethod
    def from_value(value: Any) -> CodeVersion:
        """Return what ``to_value`` stored."""
        repo = _text(value, "repo")
        changes = value.get("changes")
        return CodeVersion(
            repo,
            _text(value, "revision"),
            _text(value, "commit"),
            _text(value, "subpath"),
            None if changes is None else CodeChanges.from_value(changes),
        )


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a run goes on with: the run ``name``, from ``step`` of its own counting, if it has one.

    ``start`` is the version that the first of such a row of runs began with, None for nothing.
    """

    run: RunId
    name: str
    step: float | None
    start: PinnedVersion | None

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored."""
        return {
            "run": self.run,
            "name": self.name,
            "step": self.step,
            "start": None if self.start is None else self.start.to_value(),
        }

    @staticmethod
    def from_value(value: Any) -> Resumption:
        """Return what ``to_value`` stored."""
        start = value["start"]
        return Resumption(
            RunId(parse_entity_id(value["run"])),
            _text(value, "name"),
            check_step(value["step"]),
            None if start is None else PinnedVersion.from_value(start),
        )


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run. ``volume`` is in bytes, ``timeout`` in seconds (None: no limit).

    ``branch`` is where a training commits, None for other runs. ``checkpoint`` is the version that
    a training continues, or the version that is evaluated. ``verifies`` is the version that a rerun
    is to make again. ``checkpoints`` says where what the code hands in while it runs is committed;
    ``resumes`` which run this one goes on with, ``reuse`` that the result of an earlier run that did
    the same will do.
    """

    type: RunType
    model: AssetId
    model_path: str
    branch: str | None
    dataset: PinnedVersion
    checkpoint: PinnedVersion | None
    code: CodeVersion
    volume: int
    params: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    verifies: PinnedVersion | None = None
    checkpoints: CheckpointMode = "own"
    retries: Retries = NO_RETRIES
    resources: Resources = NOTHING_ASKED
    resumes: Resumption | None = None
    reuse: bool = False
    runtime: Runtime = field(default_factory=Runtime)

    @property
    def start(self) -> PinnedVersion | None:
        """What the training began with, in whatever run."""
        return self.checkpoint if self.resumes is None else self.resumes.start

    @property
    def trains(self) -> bool:
        """Whether the code is to leave a model: in a training, and in the rerun of one."""
        return self.type != "evaluate"

    def checkpoint_branch(self, run_name: str) -> str | None:
        """Return where a run of this name commits its checkpoints, None if nowhere."""
        if self.type != "train" or self.checkpoints == "none":
            return None
        own = OWN_BRANCH_PREFIX + run_name.rpartition("-")[2]
        return own if self.checkpoints == "own" else self.branch

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored; parameters are JSON text, so that any number fits."""
        value: dict[str, Value] = {
            "type": self.type,
            "model": self.model,
            "model_path": self.model_path,
            "branch": self.branch,
            "dataset": self.dataset.to_value(),
            "checkpoint": None if self.checkpoint is None else self.checkpoint.to_value(),
            "code": self.code.to_value(),
            "volume": self.volume,
            "params": params_to_json(self.params),
            "timeout": self.timeout,
            "verifies": None if self.verifies is None else self.verifies.to_value(),
        }
        runtime = self.runtime.to_value()
        if runtime:
            value["runtime"] = runtime
        if self.checkpoints != "own":
            value["checkpoints"] = self.checkpoints
        if self.retries != NO_RETRIES:
            value["retries"] = self.retries.to_value()
        if self.resumes is not None:
            value["resumes"] = self.resumes.to_value()
        if self.reuse:
            value["reuse"] = True
        if self.resources:
            value["resources"] = self.resources.to_value()
        return value

    @staticmethod
    def from_value(value: Any) -> RunSpec:
        """Return what ``to_value`` stored.

        Raises:
            CorruptError: it is something else.
        """
        try:
            return _decode(value)
        except (KeyError, TypeError, ValueError, InvalidInputError) as error:
            raise CorruptError(f"a run's record is malformed: {error}") from error


def _decode(value: Any) -> RunSpec:
    if value["type"] not in RUN_TYPES:
        raise InvalidInputError(f"unknown type of run {value['type']!r}")
    params = json.loads(_text(value, "params"))
    if not isinstance(params, dict):
        raise InvalidInputError("params must be a JSON object")
    checkpoint, timeout, verifies = value["checkpoint"], value["timeout"], value["verifies"]
    if (value["type"] == "rerun") != (verifies is not None):
        raise InvalidInputError("a rerun, and only a rerun, verifies a version")
    return RunSpec(
        type=value["type"],
        model=AssetId(parse_entity_id(value["model"])),
        model_path=_text(value, "model_path"),
        branch=None if value["branch"] is None else _text(value, "branch"),
        dataset=PinnedVersion.from_value(value["dataset"]),
        checkpoint=None if checkpoint is None else PinnedVersion.from_value(checkpoint),
        code=CodeVersion.from_value(value["code"]),
        volume=int(value["volume"]),
        params=params,
        timeout=None if timeout is None else float(timeout),
        verifies=None if verifies is None else PinnedVersion.from_value(verifies),
        checkpoints=check_checkpoints(value.get("checkpoints")),
        retries=Retries.from_value(value["retries"]) if "retries" in value else NO_RETRIES,
        resumes=Resumption.from_value(value["resumes"]) if "resumes" in value else None,
        reuse=bool(value.get("reuse", False)),
        runtime=Runtime.from_value(value.get("runtime", {})),
        resources=Resources.from_value(value.get("resources", {})),
    )


def check_checkpoints(mode: str | None) -> CheckpointMode:
    """Return where checkpoints are committed; None: where they are by default.

    Raises:
        InvalidInputError: there is no such place.
    """
    for known in CHECKPOINT_MODES:
        if mode in (known, None):
            return known
    raise InvalidInputError(
        f"checkpoints are committed to {', '.join(CHECKPOINT_MODES[:-1])} or none, not {mode!r:.100}"
    )


def check_subpath(subpath: str) -> str:
    """Return the normal form of a folder inside a repository; ``.`` is the repository itself.

    Raises:
        InvalidInputError: it is absolute, has ``..`` or other parts that no object path may have.
    """
    parts = [part for part in subpath.rstrip("/").split("/") if part != "."]
    if subpath in ("", "/") or not parts:
        if subpath.startswith("/"):
            raise InvalidInputError("invalid git subpath '/': it is absolute", value=subpath)
        return "."
    normal = "/".join(parts)
    if normal.startswith("-"):
        raise InvalidInputError(f"invalid git subpath {subpath[:200]!r}: it looks like an option")
    try:
        return check_object_path(normal)
    except InvalidInputError as error:
        raise InvalidInputError(f"invalid git subpath: {error}", value=subpath[:200]) from error


def check_volume(volume: int) -> int:
    """Return ``volume``, a number of bytes, if a run can live in it.

    Raises:
        InvalidInputError: it is too small or absurdly large.
    """
    if not MIN_VOLUME_BYTES <= volume < 1 << 62:
        raise InvalidInputError(
            f"a volume of {volume} bytes can't be: give {MIN_VOLUME_BYTES} bytes or more",
            value=volume,
        )
    return volume


def params_to_json(params: Mapping[str, Any]) -> str:
    """Return parameters as the JSON text that the run's code and its record get.

    Raises:
        InvalidInputError: they are no JSON, or more than 64 KiB of it.
    """
    if not all(isinstance(name, str) and name for name in params):
        raise InvalidInputError("the name of a parameter must be a string and not empty")
    try:
        json.dumps(dict(params), ensure_ascii=False).encode("utf-8")
        text = json.dumps(dict(params), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"parameters must be JSON values: {error}") from error
    if len(text) > MAX_PARAMS_BYTES:
        raise InvalidInputError(f"parameters have more than {MAX_PARAMS_BYTES} bytes")
    return text


def _text(value: Any, key: str) -> str:
    text = value[key]
    if not isinstance(text, str):
        raise InvalidInputError(f"{key} must be a string")
    return text
