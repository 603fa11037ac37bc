"""Versions of an asset that do not move, Tag and Commit, and which version a reference means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ahstore.client import describe, history
from ahstore.client.branch import Branch
from ahstore.client.version import Version
from ahstore.ids import CommitId
from ahstore.objects.commit import Commit as CommitBody

if TYPE_CHECKING:
    from ahstore.client.asset import Asset


class Tag(Version):
    """A name for one commit that does not move."""

    kind = "tag"

    def delete(self) -> None:
        """Delete this tag. Its commit stays as long as something else needs it."""
        self._ref()
        self._core.refs.delete(self.asset.record.id, self.name, "tag")
        self._core.notify(f"Deleting tag {self.name} of {self.asset.title}")

    def to_dict(self) -> dict[str, Any]:
        """Return the tag as `list_tag` has it."""
        return describe.ref(self._ref())


class Commit(Version):
    """One commit by its id."""

    kind = "commit"

    def __init__(
        self,
        asset: Asset,
        commit_id: CommitId,
        *,
        written: str | None = None,
        via: str | None = None,
    ) -> None:
        super().__init__(asset, commit_id.hex(), written=written)
        self._commit = commit_id
        self.via = via

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

    def changes(self) -> dict[str, Any]:
        """Return how many objects this commit ``added``, ``modified`` and ``deleted``.

        That is against its first parent; ``grown_bytes`` says by how much the sum of sizes grew.
        """
        return history.summary(self._core.repo, self._commit)

    def to_dict(self) -> dict[str, Any]:
        """Return the commit as `list_commit` has it."""
        return describe.commit(self._commit, self.body)


def find_version(asset: Asset, ref: str) -> Version:
    """Return the branch, tag or commit that ``ref`` means, remembering how it was written.

    Raises:
        NotFoundError: nothing has this name.
        InvalidInputError: it is malformed or ambiguous.
    """
    found = asset.core.hub.resolve(asset.record, ref)
    if ref.startswith("@"):
        ref = f"commit/{found.name}"  # the best may be another one at the next look
    if found.kind == "branch":
        return Branch(asset, found.name, written=ref)
    if found.kind == "tag":
        return Tag(asset, found.name, written=ref)
    return Commit(asset, found.commit, written=ref, via=found.via)
