"""Versions of an asset as people name them: Branch, Tag, Commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ahstore.client import describe
from ahstore.client.core import check_sequence
from ahstore.client.version import Additions, Version, as_additions
from ahstore.errors import InvalidInputError
from ahstore.hub.paths import DEFAULT_REF
from ahstore.ids import CommitId
from ahstore.objects.commit import Commit as CommitBody
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.history.merge import Strategy, merge
from ahstore.versions.history.reset import reset
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.resolve import resolve

if TYPE_CHECKING:
    from ahstore.client.asset import Asset, Dataset, Model


class Branch(Version):
    """A name that moves with each commit. ``commit_id`` is always that of its present head."""

    kind = "branch"

    def create_commit(
        self,
        msg: str,
        delete: Sequence[str] | None = None,
        add: Additions | None = None,
        *,
        expect: str | Commit | None = None,
        metadata: Mapping[str, Any] | None = None,
        rehash: bool = False,
        monitor: Monitor = SILENT,
    ) -> Commit | None:
        """Delete, then add, in one atomic commit.

        Args:
            msg: the commit's message.
            delete: object paths; ``sub/`` is all below. What is not there is no error.
            add: local files and folders, ``LOCAL[:PATH]`` each, or a mapping from local to object
                paths. ``dir`` goes with its name, ``dir/*`` without it, ``sub/`` is a folder to put
                things in.
            expect: fail unless this is the branch's head.
            metadata: small values that the commit carries.
            rehash: read all files, even those known to be unchanged.
            monitor: is told the progress.

        Returns:
            The commit, or None when nothing would change and none was made.

        Raises:
            ObjectNotFoundError: there is no such local file.
            InvalidInputError: a path that a commit can't hold.
            ConflictError: the branch is not at ``expect``.
        """
        expected = self._expected(expect)
        self._core.notify(f"Committing changes to branch {self.name} of {self.asset.title}")
        made = commit_files(
            self._core.repo,
            self.asset.record.id,
            self.name,
            message=msg,
            committer=self._core.user,
            add=as_additions(add),
            delete=check_sequence(delete, "delete"),
            expect=expected,
            metadata=dict(metadata) if metadata else None,
            rehash=rehash,
            monitor=monitor,
        )
        if made is None:
            self._core.notify("Nothing to commit: the branch has all of this already")
            return None
        self._core.notify(f"Commit {made.commit.hex()[:8]} created")
        return self.asset.commit_of(made.commit)

    def create_tag(self, name: str) -> Tag:
        """Create a tag at this branch's head."""
        return self.asset.create_tag(name, source=self.ref)

    def merge(
        self,
        target: str = DEFAULT_REF,
        *,
        msg: str | None = None,
        strategy: Strategy = "three-way",
        expect: str | Commit | None = None,
    ) -> Commit | None:
        """Merge this branch into ``target``; see `Asset.merge`."""
        return self.asset.merge(self, target, msg=msg, strategy=strategy, expect=expect)

    def reset(
        self, ref: str | Version | None = None, *, expect: str | Commit | None = None
    ) -> None:
        """Make another commit of the asset this branch's head; the former stays at ``@{1}``.

        Without ``ref`` nothing is done: there are no uncommitted changes that could be cleared.

        Raises:
            NotFoundError: there is no such commit.
            ConflictError: the branch is not at ``expect``.
        """
        if ref is None:
            return
        to = self.asset.version(ref).head if isinstance(ref, str) else ref.head
        reset(
            self._core.repo,
            self.asset.record.id,
            self.name,
            to,
            committer=self._core.user,
            expect=self._expected(expect),
        )
        self._core.notify(
            f"Branch {self.name} of {self.asset.title} is now at commit {to.hex()[:8]}"
        )

    def delete(self) -> None:
        """Delete this branch. Its commits stay as long as something else needs them."""
        self._ref()
        self._core.refs.delete(self.asset.record.id, self.name, "branch")
        self._core.notify(f"Deleting branch {self.name} of {self.asset.title}")

    def _expected(self, expect: str | Commit | None) -> CommitId | None:
        return self.asset.expected(expect, self.name)


class Tag(Version):
    """A name for one commit that does not move."""

    kind = "tag"

    def delete(self) -> None:
        """Delete this tag. Its commit stays as long as something else needs it."""
        self._ref()
        self._core.refs.delete(self.asset.record.id, self.name, "tag")
        self._core.notify(f"Deleting tag {self.name} of {self.asset.title}")


class Commit(Version):
    """One commit by its id."""

    kind = "commit"

    def __init__(
        self, asset: Model | Dataset, commit_id: CommitId, *, written: str | None = None
    ) -> None:
        super().__init__(asset, commit_id.hex(), written=written)
        self._commit = commit_id

    @property
    def head(self) -> CommitId:
        """The commit itself."""
        return self._commit

    @property
    def id(self) -> str:
        """The commit's id, 64 hex digits."""
        return self.name

    @property
    def body(self) -> CommitBody:
        """The commit's fields as they are stored."""
        return self._core.repo.read_commit(self._commit)

    @property
    def message(self) -> str:
        """What its maker says of it."""
        return self.body.message

    def create_tag(self, name: str) -> Tag:
        """Create a tag at this commit."""
        return self.asset.create_tag(name, source=f"commit/{self.name}")

    def totals(self) -> tuple[int, int]:
        """Return how many objects the commit holds, and their bytes."""
        tree = self._core.repo.files(self._commit)
        return tree.count(), tree.weight()

    def to_dict(self) -> dict[str, Any]:
        """Return the commit as `list_commit` has it."""
        return describe.commit(self._commit, self.body)


def find_version(asset: Asset, ref: str) -> Version:
    """Return the branch, tag or commit that ``ref`` means, remembering how it was written.

    Raises:
        NotFoundError: nothing has this name.
        InvalidInputError: it is malformed or ambiguous.
    """
    found = resolve(asset.core.repo, asset.record.id, ref)
    owner = asset.as_concrete()
    if found.kind == "branch":
        return Branch(owner, found.name, written=ref)
    if found.kind == "tag":
        return Tag(owner, found.name, written=ref)
    return Commit(owner, found.commit, written=ref)


def merge_versions(
    asset: Asset,
    source: Version,
    target: str,
    *,
    msg: str | None,
    strategy: Strategy,
    expect: CommitId | None,
) -> CommitId | None:
    """Merge and say what was done; the work of `Asset.merge`."""
    if source.kind == "branch" and source.name == target:
        raise InvalidInputError(f"can't merge branch {target!r} into itself")
    core = asset.core
    name = source.name[:8] if source.kind == "commit" else source.name
    core.notify(f"Merging {source.kind} {name} into branch {target} of {asset.title}")
    made = merge(
        core.repo,
        asset.record.id,
        source.head,
        target,
        committer=core.user,
        message=msg or f"Merge {source.kind} {name} into {target}",
        strategy=strategy,
        expect=expect,
    )
    if made is None:
        core.notify(f"Nothing to merge: branch {target} has all of {name} already")
    else:
        core.notify(f"Branch {target} is now at commit {made.hex()[:8]}")
    return made
