"""Not doing work twice: an earlier run that did the same, and taking its result for this one.

The same is: code, dataset, checkpoint, parameters and command, and what the record says of the
interpreter, its packages and the machine's kind. Whatever a record says beside that is compared
too, but for what is named here: when in doubt, the work is done (docs/format/runs.md, "Reuse").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ahstore.codec.canonical import Value
from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.hub.hub import Hub
from ahstore.ids import CommitId
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.spec import RunSpec
from ahstore.storage.cells import CellVersion
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import Refs, read_ref, ref_cell, ref_value
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

_NOT_WORK = frozenset(
    ["model_path", "branch", "volume", "timeout", "checkpoints", "retries", "reuse", "code"]
)
"""What of a spec says where and within which limits, and not what is done; code is compared below."""
_NOT_SURROUNDINGS = frozenset(
    ["schema", "ahstore", "engine", "release", "cpu", "cpus", "memory_bytes"]
)
_PINS = ("dataset", "checkpoint", "verifies")


def find_same(
    hub: Hub,
    records: RunRecords,
    spec: RunSpec,
    command: Sequence[str],
    environment: Mapping[str, Value],
) -> RunRecord | None:
    """Return the newest run that did the same and whose result is still there, None if none did.

    Args:
        hub: of the store.
        records: its runs.
        spec: what is to be done.
        command: that would be run.
        environment: that it would run in, as the record would have it.
    """
    if not environment.get("python"):
        return None  # nobody knows what it would run with
    if None in spec.runtime.env.values():
        return None  # nor with which values
    work, surroundings = _work(spec), _surroundings(environment)
    for record in records.list(spec.model):
        if (
            record.state == "Succeeded"
            and list(record.command) == list(command)
            and _work(record.spec) == work
            and _surroundings(record.environment) == surroundings
            and _is_there(hub, record)
        ):
            return record
    return None


def _work(spec: RunSpec) -> dict[str, Any]:
    value: dict[str, Any] = {
        name: found for name, found in spec.to_value().items() if name not in _NOT_WORK
    }
    for name in _PINS:
        pin = value[name]
        # By whatever path and reference it was named.
        value[name] = None if pin is None else (pin["asset"], pin["commit"])
    changes = spec.code.changes
    value["code"] = (spec.code.commit, spec.code.subpath, None if changes is None else changes.tree)
    return value


def _surroundings(environment: Mapping[str, Value]) -> dict[str, Value]:
    return {name: v for name, v in environment.items() if name not in _NOT_SURROUNDINGS}


def _is_there(hub: Hub, record: RunRecord) -> bool:
    """Tell whether a run's result was neither deleted nor given back by gc."""
    if record.spec.type == "evaluate":
        commit = record.spec.checkpoint.commit if record.spec.checkpoint else None
        found = hub.list_evaluations(record.spec.model, commit=commit)
        return any(item.id == record.evaluation for item in found)
    if record.commit is None:
        return False
    try:
        with hub.repo.session([]) as session:
            Refs(hub.repo).check_kept(
                record.spec.model, record.commit, [record.spec.branch], session
            )
    except NotFoundError:
        return False
    return True


def put_on_branch(
    repo: Repository, record: RunRecord, earlier: RunRecord, guard: Callable[[CommitId], None]
) -> CommitId:
    """Have the target branch of ``record`` hold what ``earlier`` made, and return the commit.

    A branch that is new, or is where that commit began, gets that very commit. Any other gets a
    commit with the same tree, which names the run that made it. ``guard`` runs with the commit's id
    right before each attempt to publish and stops it by raising.
    """
    spec, made = record.spec, earlier.commit
    assert spec.branch is not None
    assert made is not None
    branch, body = spec.branch, repo.read_commit(made)
    taken: list[CommitId] = []

    def change(current: CellVersion, session: WriteSession) -> dict[str, Value] | None:
        taken.clear()
        ref = read_ref(spec.model, branch, current)
        if ref is not None and ref.kind != "branch":
            raise InvalidInputError(f"{branch!r} is a tag; a training commits to a branch")
        if ref is not None and ref.commit != made and body.parents[:1] != (ref.commit,):
            return None
        taken[:] = [made]
        if ref is None or ref.commit != made:
            Refs(repo).check_kept(spec.model, made, [earlier.spec.branch], session)
        guard(made)
        same = ref is not None and ref.commit == made
        return None if same else ref_value("branch", made, record.by)

    repo.update(ref_cell(spec.model, branch), change)
    return made if taken else _commit_again(repo, record, earlier, made, guard)


def _commit_again(
    repo: Repository,
    record: RunRecord,
    earlier: RunRecord,
    made: CommitId,
    guard: Callable[[CommitId], None],
) -> CommitId:
    spec, body = record.spec, repo.read_commit(made)
    assert spec.branch is not None
    signature = Signature(
        f"{body.message} (taken again by {record.name})",
        record.by,
        # The run that made the files, as asset-hub.metadata among them says.
        {**body.metadata, "reused_by": record.id},
    )
    cell = ref_cell(spec.model, spec.branch)
    with repo.session([cell]) as session:
        Refs(repo).check_kept(spec.model, made, [earlier.spec.branch, spec.branch], session)

        def propose(head: CommitId | None) -> Proposal:
            return Proposal(body.tree, (head or made,))

        done = publish(
            repo,
            session,
            spec.model,
            spec.branch,
            propose,
            signature,
            may_create=True,
            guard=guard,
        )
    assert done is not None
    return done.id
