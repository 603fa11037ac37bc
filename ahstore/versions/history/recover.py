"""Objects of an older version brought back into a branch, by a commit and without their bytes."""

from __future__ import annotations

from collections.abc import Sequence

from ahstore.errors import InvalidInputError, ObjectNotFoundError
from ahstore.ids import AssetId, CommitId
from ahstore.objects.edit import edit
from ahstore.objects.file import PATH, Row, check_rows
from ahstore.versions.adding.changeset import check_overlap
from ahstore.versions.history.closure import check_rows_kept
from ahstore.versions.history.paths import PathRange, changed_rows, path_ranges
from ahstore.versions.publish import Proposal, Published, Signature, publish
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.repository import Repository


def restore_objects(
    repo: Repository,
    asset: AssetId,
    branch: str,
    source: CommitId,
    paths: Sequence[str],
    signature: Signature,
    *,
    via: str | None = None,
    expect: CommitId | None = None,
) -> Published | None:
    """Make what is at ``paths`` in a branch exactly what it is in the commit ``source``.

    A path is an object, or a folder with all below: what the folder holds now and did not hold
    then is deleted. Its cost follows what differs.

    Args:
        repo: where it is.
        asset: whose branch it is.
        branch: gets the commit.
        source: where the objects come from.
        paths: objects or folders; "" is all.
        signature: of the commit.
        via: a live branch or tag from which ``source`` is reached, if one is known.
        expect: the head that the branch must be at.

    Returns:
        The commit, None when nothing differs there.

    Raises:
        ObjectNotFoundError: ``source`` has nothing at one of the paths.
        InvalidInputError: it is another asset's commit, or a file would stand where a folder is.
        NotFoundError: there is no such branch or commit.
        ConflictError: the branch is not at ``expect``.
    """
    commit = repo.read_commit(source)
    if commit.asset != asset:
        raise InvalidInputError(f"commit {source.hex()[:8]} belongs to another asset")
    ranges = _ranges(repo, source, paths)
    with repo.session([ref_cell(asset, branch)]) as session:
        kept = Refs(repo).is_under(asset, source, [branch, via])

        def propose(head: CommitId | None) -> Proposal | None:
            assert head is not None
            root = repo.read_commit(head).tree
            edits: dict[str, Row | None] = {}
            for before, after in changed_rows(repo, root, commit.tree, ranges):
                row = before if before is not None else after
                assert row is not None
                edits[row[PATH]] = after
            if not edits:
                return None
            puts = sorted(path for path, row in edits.items() if row is not None)
            gone = {path for path, row in edits.items() if row is None}
            check_overlap(repo.files(head), puts, gone)
            if not kept:
                check_rows_kept(repo, [row for row in edits.values() if row is not None], session)
            tree = edit(repo, root, sorted(edits.items()), session, check=check_rows)
            return Proposal(tree, (head,))

        return publish(repo, session, asset, branch, propose, signature, expect=expect)


def _ranges(repo: Repository, source: CommitId, paths: Sequence[str]) -> list[PathRange]:
    tree = repo.files(source)
    found: list[PathRange] = []
    for path in paths:
        ranges = path_ranges(path)
        if path and not any(each.holds(tree) for each in ranges):
            raise ObjectNotFoundError(
                f"there is nothing at {path!r} in commit {source.hex()[:8]}", path=path
            )
        found += ranges
    return found
