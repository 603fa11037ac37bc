"""What a rerun has shown: the same bytes, or which files differ and by how much.

The verdict is recorded as the result ``rerun`` of an evaluation of the version, so that it stays with
the version's commit for good (docs/format/runs.md, "Reruns"). What differs is committed to a branch
of its own, to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from ahstore.errors import UnsupportedError
from ahstore.ids import CommitId
from ahstore.jobs.code.laying_out import PATCH_NAME
from ahstore.jobs.provenance.origin import find_origin
from ahstore.jobs.records import NAME_PREFIX, RunRecord
from ahstore.jobs.running.metadata import METADATA_NAME
from ahstore.objects.file import PATH
from ahstore.versions.adding.changes import Change
from ahstore.versions.adding.commits import commit_tree, preview
from ahstore.versions.comparing.parts import PartChange, compare_inside
from ahstore.versions.repository import Repository

VERDICT_KEY = "rerun"
BRANCH_PREFIX = "rerun-"
SHOWN_FILES = 100
OPENED_FILES = 20
SHOWN_PARTS = 50
COMPARED_FACTS = ("python", "implementation", "system", "release", "machine", "cpu", "gpus")

Words = Literal["same bytes", "differs"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a rerun.

    Attributes:
        words: the verdict.
        run: name of the rerun.
        files: how many files of the version and the rerun are not the same.
        differences: of those, at most 100: ``path``, ``change`` and what is known of it.
        branch: where the rerun's files are, None if they are the same.
        surroundings: what of interpreter, packages and machine is not as it was: name to
            ``[then, now]``.
    """

    words: Words
    run: str
    files: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    branch: str | None = None
    surroundings: dict[str, list[Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the value that is recorded."""
        return {
            "verdict": self.words,
            "run": self.run,
            "files": self.files,
            "differences": self.differences,
            "branch": self.branch,
            "surroundings": self.surroundings,
        }


def judge(repo: Repository, record: RunRecord, output: str) -> Verdict:
    """Return the verdict on what a rerun left in the folder ``output``.

    Raises:
        InvalidInputError: the outputs can't be committed.
    """
    version = record.spec.verifies
    assert version is not None
    tree = repo.files(version.commit)
    changed = record.spec.code.changes is not None
    ours = {METADATA_NAME, PATCH_NAME} if changed else {METADATA_NAME}
    gone = [str(row[PATH]) for row in tree.scan() if row[PATH] not in ours]
    # The colon: everything before it is the local path, colons in it or not.
    changes = preview(repo, version.commit, add=[f"{output}/*:"], delete=gone)
    # A file of such a name among the outputs is replaced in a training, so it does not count.
    changes = [change for change in changes if change.path not in ours]
    origin = find_origin(repo, version.commit, repo.read_commit(version.commit))
    then: dict[str, Any] = dict(origin.document.get("environment", {})) if origin else {}
    surroundings = dict(_changed(then, record.environment))
    if not changes:
        return Verdict("same bytes", record.name, surroundings=surroundings)
    branch = BRANCH_PREFIX + record.name.removeprefix(NAME_PREFIX)
    made = commit_tree(
        repo,
        record.spec.model,
        branch,
        message=f"Rerun of {version} ({record.name})",
        committer=record.by,
        add=[f"{output}/*:"],
        base=version.commit,
        metadata={"rerun": record.id, "run_name": record.name},
    )
    differences = [_described(change) for change in islice(changes, SHOWN_FILES)]
    if made is not None:
        _look_inside(repo, version.commit, made.commit, differences)
    return Verdict(
        "differs",
        record.name,
        len(changes),
        differences,
        None if made is None else branch,
        surroundings,
    )


def _described(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = {"path": change.path, "change": change.kind}
    if change.old_size != change.size:
        found |= {"size_bytes": change.size, "old_size_bytes": change.old_size}
    return found


def _look_inside(
    repo: Repository, then: CommitId, now: CommitId, differences: Sequence[dict[str, Any]]
) -> None:
    """Add to modified files which tensors, arrays or columns differ, and by how much."""
    old, new = repo.files(then), repo.files(now)
    modified = [found for found in differences if found["change"] == "modified"]
    for found in modified[:OPENED_FILES]:
        before, after = old.find(found["path"]), new.find(found["path"])
        if before is None or after is None:
            continue
        try:
            inside = compare_inside(repo, before, after, values=True)
        except UnsupportedError:
            inside = compare_inside(repo, before, after)  # without NumPy or pyarrow
        if inside.format:
            found["format"], found["unchanged_parts"] = inside.format, inside.unchanged
            found["parts"] = [_part(change) for change in inside.changes[:SHOWN_PARTS]]


def _part(change: PartChange) -> dict[str, Any]:
    found: dict[str, Any] = {"name": change.name, "change": change.kind, "what": list(change.what)}
    if change.kind == "renamed" and change.old is not None:
        found["old_name"] = change.old.name
    if change.values is not None:
        found |= {"l2": change.values.l2, "max": change.values.max}
    return found


def _changed(then: dict[str, Any], now: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield what of the surroundings has changed, packages one by one."""
    for name in COMPARED_FACTS:
        if name in then and then[name] != now.get(name):
            yield name, [then[name], now.get(name)]
    before = dict(part.partition("==")[::2] for part in str(then.get("packages", "")).split())
    after: dict[str, Any] = dict(now.get("packages", {}))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"package {name}", [before.get(name), after.get(name)]
