"""Commits of files: add and delete on a branch, or exactly these files; and what would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ahstore.chunks.cutter import Cutter
from ahstore.codec.canonical import Value
from ahstore.codec.digests import md5
from ahstore.errors import AhError, AlreadyExistsError, InvalidInputError
from ahstore.ids import AssetId, CommitId, PageId
from ahstore.names import check_object_path, check_ref_name
from ahstore.objects import content_type
from ahstore.objects.chunklist import build as build_refs
from ahstore.objects.commit import Commit
from ahstore.objects.edit import edit
from ahstore.objects.file import PATH, ChunkRef, Row, check_rows, make_flags
from ahstore.objects.overlap import find_overlap_among
from ahstore.objects.tree import Tree, build
from ahstore.versions.adding.changes import Change, Deletion, parse_adds, parse_deletes
from ahstore.versions.adding.changeset import ChangeSet, compare, refuse_overlap
from ahstore.versions.adding.contents import Contents
from ahstore.versions.adding.ingest import Ingest
from ahstore.versions.adding.sinks import ChunkSink, HashingSink, StoringSink
from ahstore.versions.adding.walk import Walked, walk
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.publish import Guard, Proposal, Published, Seen, Signature, publish
from ahstore.versions.refs import ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

ROOT_MESSAGE = "Repository created"
MAIN = "main"


@dataclass(frozen=True, slots=True)
class CommitResult:
    """A commit made, and what it changed against its first parent, by path."""

    commit: CommitId
    changes: Sequence[Change]


def create_asset_root(repo: Repository, asset: AssetId, *, committer: str) -> CommitId:
    """Make an asset's first commit, which is empty, and its branch ``main``.

    Raises:
        AlreadyExistsError: the asset has a branch ``main``.
    """
    with repo.session([ref_cell(asset, MAIN)]) as session:

        def propose(head: CommitId | None) -> Proposal:
            if head is not None:
                raise AlreadyExistsError(f"branch {MAIN!r} already exists", name=MAIN)
            return Proposal(build([], session), ())

        made = publish(
            repo, session, asset, MAIN, propose, Signature(ROOT_MESSAGE, committer), may_create=True
        )
        assert made is not None
        return made.id


def commit_files(
    repo: Repository,
    asset: AssetId,
    branch: str,
    *,
    message: str,
    committer: str,
    add: Sequence[str] = (),
    delete: Sequence[str] = (),
    expect: CommitId | None = None,
    metadata: dict[str, Value] | None = None,
    rehash: bool = False,
    monitor: Monitor = SILENT,
) -> CommitResult | None:
    """Delete, then add, in one commit; ``add`` is ``LOCAL[:PATH]``, ``delete`` ``PATH`` or ``sub/``.

    Returns:
        The commit, or None when it would change nothing and was not made.

    Raises:
        NotFoundError: there is no such branch, or no such local file.
        InvalidInputError: a path that a commit can't hold.
        ConflictError: the branch is not at ``expect``.
    """
    check_ref_name(branch, what="branch name")
    signature = Signature(message, committer, metadata or {})
    deletions = parse_deletes(delete)
    files = walk(parse_adds(add), left_out=monitor.left_out)
    changes: list[Change] = []
    with _Remembering(repo) as after, repo.session([ref_cell(asset, branch)]) as session:
        seen = Seen.now(repo, asset, branch)  # before hours of hashing
        sink = StoringSink(repo, session)
        tree = repo.files(seen.ref.commit)
        after.contents = _ingested(repo, files, sink, tree, rehash=rehash, monitor=monitor)
        session.start_flush()  # data is written once, and not while others wait for the branch

        def propose(head: CommitId | None) -> Proposal | None:
            assert head is not None
            tree = repo.files(head)
            edits, changes[:] = compare(tree, _change_set(after.contents, tree, deletions))
            if not edits:
                after.commit = head
                return None
            root = edit(repo, tree.root, edits, session, cache=repo.page_cache, check=check_rows)
            return Proposal(root, (head,))

        made = publish(repo, session, asset, branch, propose, signature, expect=expect, seen=seen)
        if made is None:
            session.flush()  # bytes that are new although nothing changed heal what was damaged
        after.commit = made.id if made else after.commit
    return _result(made, changes)


def _change_set(contents: Contents, tree: Tree, deletions: Sequence[Deletion]) -> ChangeSet:
    # What is deleted may be added again: then it takes all rows to tell what is left.
    return ChangeSet(contents.rows(None if deletions else tree), deletions)


class _Remembering:
    """Remembers what files hold when a commit is over: made, or failed after all were read."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self.contents = Contents((), (), started=0)
        self.commit: CommitId | None = None

    def __enter__(self) -> _Remembering:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            tree = self._repo.files(self.commit) if self.commit else None
            self.contents.remember(self._repo.states, tree)
        except AhError:
            # The commit stands or falls without it.
            self.contents.remember(self._repo.states, None)


def commit_tree(
    repo: Repository,
    asset: AssetId,
    branch: str,
    *,
    message: str,
    committer: str,
    add: Sequence[str],
    extra: Mapping[str, bytes] | None = None,
    base: CommitId | None = None,
    metadata: dict[str, Value] | None = None,
    guard: Guard | None = None,
    monitor: Monitor = SILENT,
) -> CommitResult | None:
    """Commit exactly these files to a branch, which is made on ``base`` if it is not there.

    ``extra`` are files given by their bytes; they win over added ones. ``guard`` runs with the
    commit's id right before each attempt to publish and stops it by raising.

    Raises:
        As :func:`commit_files`; NotFoundError also for a new branch without ``base``.
    """
    check_ref_name(branch, what="branch name")
    signature = Signature(message, committer, metadata or {})
    files = walk(parse_adds(add), left_out=monitor.left_out)
    changes: list[Change] = []
    with _Remembering(repo) as after, repo.session([ref_cell(asset, branch)]) as session:
        sink = StoringSink(repo, session)
        after.contents = _ingested(repo, files, sink, None, monitor=monitor)
        rows = {row[PATH]: row for row in after.contents.rows(None)}
        for path, data in (extra or {}).items():
            rows[check_object_path(path)] = _row_of_bytes(repo, path, data, sink)
        session.start_flush()
        root = _whole_tree(rows, session)

        def propose(head: CommitId | None) -> Proposal | None:
            parent = head or base
            if parent is None:
                raise InvalidInputError(
                    f"branch {branch!r} is new and needs a commit to start from"
                )
            parent_tree = repo.files(parent)
            gone = [path for path in _paths(parent_tree) if path not in rows]
            _, changes[:] = compare(parent_tree, ChangeSet.exactly(list(rows.values()), gone))
            return Proposal(root, (parent,)) if changes or head is None else None

        made = publish(
            repo,
            session,
            asset,
            branch,
            propose,
            signature,
            may_create=base is not None,
            guard=guard,
        )
    return _result(made, changes)


def store_files(
    repo: Repository,
    session: WriteSession,
    asset: AssetId,
    files: Mapping[str, bytes],
    signature: Signature,
) -> CommitId:
    """Store a commit of these files, without parents, that no branch has.

    It is kept by the cell that the session swaps next, if gc knows that such a cell needs it; else
    it is rubbish.
    """
    sink = StoringSink(repo, session)
    rows = {
        check_object_path(path): _row_of_bytes(repo, path, data, sink)
        for path, data in files.items()
    }
    root = _whole_tree(rows, session)
    return session.put_commit(
        Commit(
            asset=asset,
            parents=(),
            tree=root,
            message=signature.message,
            committer=signature.committer,
            date_us=int(repo.storage.now() * 10**6),
            metadata=dict(signature.metadata),
        )
    )


def preview(
    repo: Repository,
    commit: CommitId,
    *,
    add: Sequence[str] = (),
    delete: Sequence[str] = (),
    rehash: bool = False,
    monitor: Monitor = SILENT,
) -> list[Change]:
    """Return what a commit of these onto ``commit`` would change; nothing is written.

    Raises:
        As :func:`commit_files`.
    """
    deletions = parse_deletes(delete)
    files = walk(parse_adds(add), left_out=monitor.left_out)
    tree = repo.files(commit)
    contents = _ingested(repo, files, HashingSink(), tree, rehash=rehash, monitor=monitor)
    _, changes = compare(tree, _change_set(contents, tree, deletions))
    differing = {change.path[: change.path.rfind("/") + 1] for change in changes}
    contents.remember(repo.states, tree, differing=differing)
    return changes


def _ingested(
    repo: Repository,
    files: Walked,
    sink: ChunkSink,
    tree: Tree | None,
    *,
    rehash: bool = False,
    monitor: Monitor,
) -> Contents:
    if not len(files):
        return Contents((), (), started=0)
    ingest = Ingest(sink, cutting=repo.cutting, states=repo.states, tree=tree, monitor=monitor)
    return ingest.take(files, rehash=rehash)


def _row_of_bytes(repo: Repository, path: str, data: bytes, sink: ChunkSink) -> Row:
    cutter = Cutter(repo.cutting)
    parts = cutter.boundaries(lambda at, length: data[at : at + length], len(data))
    pieces = [ChunkRef(sink.put_chunk(p), len(p)) for p in cutter.cut([data], parts)]
    level, refs = build_refs(pieces, sink.put_chunk)
    flags = make_flags(executable=False, level=level)
    now_ns = int(repo.storage.now()) * 10**9
    kind = content_type.encode(content_type.guess(path))
    return [path, len(data), md5(data), now_ns, flags, kind, refs]


def _whole_tree(rows: Mapping[str, Row], session: WriteSession) -> PageId:
    refuse_overlap(find_overlap_among(sorted(rows)))
    return build((rows[path] for path in sorted(rows)), session)


def _paths(tree: Tree) -> list[str]:
    return [row[PATH] for row in tree.scan()]


def _result(made: Published | None, changes: list[Change]) -> CommitResult | None:
    return CommitResult(made.id, changes) if made else None
