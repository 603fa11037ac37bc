"""What models and datasets have in common: branches, tags, commits, objects."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from ahstore.client import describe
from ahstore.client.branch import Branch, merge_versions
from ahstore.client.core import Core, check_sequence
from ahstore.client.ref import Commit, Tag, find_version
from ahstore.client.version import Version
from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.hub.paths import DEFAULT_REF
from ahstore.hub.records import AssetRecord
from ahstore.ids import CommitId
from ahstore.versions.history.undelete import undelete
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.resolve import resolve

if TYPE_CHECKING:
    from ahstore.client.folder import Folder
    from ahstore.client.model import Model
    from ahstore.versions.history.merge import Strategy
    from ahstore.versions.restoring.checkout import DownloadResult


class Asset:
    """A model or a dataset. Get one from a `Folder`, from `Store.get` or `Store.get_asset`."""

    def __init__(self, core: Core, record: AssetRecord) -> None:
        self.core = core
        self.record = record

    @property
    def id(self) -> str:
        """The asset's UUID."""
        return str(self.record.id)

    @property
    def kind(self) -> str:
        """``model`` or ``dataset``."""
        return self.record.type

    @property
    def name(self) -> str:
        """The asset's name in its folder."""
        return self.record.name

    @property
    def path(self) -> str:
        """``user/model/folder/asset``."""
        return self.record.path

    @property
    def labels(self) -> list[str]:
        """The asset's labels."""
        return list(self.record.labels)

    @property
    def description(self) -> str:
        """What people say of it."""
        return self.record.description

    @property
    def title(self) -> str:
        """``Model mnist-cnn-keras``, as messages have it."""
        return f"{self.kind.capitalize()} {self.name}"

    @property
    def folder(self) -> Folder:
        """The folder that holds this asset."""
        from ahstore.client.folder import Folder  # folders make assets, and assets know theirs

        return Folder(self.core, self.core.hub.get_folder_by_id(self.record.folder))

    def to_dict(self) -> dict[str, Any]:
        """Return the asset as `Folder.list_asset` has it."""
        return describe.asset(self.record)

    # Branches and tags.

    def create_branch(self, name: str, source: str | Version = DEFAULT_REF) -> Branch:
        """Create a branch at ``source`` (a branch, tag or commit).

        Raises:
            AlreadyExistsError: a branch or tag has this name.
            NotFoundError: there is no such source.
        """
        commit, via = self._source(source)
        self.core.refs.create(self.record.id, name, "branch", commit, by=self.core.user, via=via)
        self.core.notify(f"Creating branch {name} of {self.title}")
        return Branch(self, name)

    def create_tag(self, name: str, source: str | Version = DEFAULT_REF) -> Tag:
        """Create a tag at ``source``; as `create_branch`."""
        commit, via = self._source(source)
        self.core.refs.create(self.record.id, name, "tag", commit, by=self.core.user, via=via)
        self.core.notify(f"Creating tag {name} of {self.title}")
        return Tag(self, name)

    def get_branch(self, name: str) -> Branch:
        """Return a branch.

        Raises:
            NotFoundError: there is none of this name.
        """
        branch = Branch(self, name)
        _ = branch.head
        return branch

    def get_tag(self, name: str) -> Tag:
        """Return a tag.

        Raises:
            NotFoundError: there is none of this name.
        """
        tag = Tag(self, name)
        _ = tag.head
        return tag

    def get_commit(self, id: str) -> Commit:  # noqa: A002
        """Return a commit by its id or the first 4 or more digits of it.

        Raises:
            NotFoundError: the asset has no such commit.
            InvalidInputError: several commits begin so.
        """
        return self.commit_of(resolve(self.core.repo, self.record.id, f"commit/{id}").commit)

    def undelete_branch(self, name: str) -> Branch:
        """Bring a deleted branch back, at the commit it was at.

        Raises:
            AlreadyExistsError: it is not deleted, or the name is another's now.
            NotFoundError: there was none, or gc has taken it away.
        """
        self.undelete(name, "branch")
        return Branch(self, name)

    def undelete_tag(self, name: str) -> Tag:
        """Bring a deleted tag back; as `undelete_branch`."""
        self.undelete(name, "tag")
        return Tag(self, name)

    def undelete(self, name: str, kind: Literal["branch", "tag"] | None = None) -> Branch | Tag:
        """Bring back a deleted branch or tag, whichever it was; as `undelete_branch`."""
        ref = undelete(self.core.repo, self.record.id, name, kind, by=self.core.user)
        self.core.notify(f"Bringing back {ref.kind} {name} of {self.title}")
        made = Branch if ref.kind == "branch" else Tag
        return made(self, name)

    def version(self, ref: str = DEFAULT_REF) -> Version:
        """Return the branch, tag or commit that ``ref`` means (`v1`, `tag/x`, `main~2`, `4d6988c3`)."""
        return find_version(self, ref)

    def list_branch(self) -> list[dict[str, Any]]:
        """Return the branches by name, each with ``commit_id``."""
        return [describe.ref(ref) for ref in self.core.refs.list(self.record.id, "branch")]

    def list_tag(self) -> list[dict[str, Any]]:
        """Return the tags by name, each with ``commit_id``."""
        return [describe.ref(ref) for ref in self.core.refs.list(self.record.id, "tag")]

    def _source(self, source: str | Version) -> tuple[CommitId, str | None]:
        if isinstance(source, Version):
            return source.head, source.via
        found = self.core.hub.resolve(self.record, source)
        return found.commit, found.via

    # What the branch ``main`` holds.

    def _main(self) -> Branch:
        return Branch(self, DEFAULT_REF)

    def list_commit(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the history of ``main``, newest first."""
        return self._main().list_commit(limit)

    def list_object(self, prefix: str = "") -> list[dict[str, Any]]:
        """Return the objects of ``main`` whose paths start with ``prefix``."""
        return self._main().list_object(prefix)

    def download(
        self,
        paths: Sequence[str] | None = None,
        save_dir: str | os.PathLike[str] = ".",
        *,
        monitor: Monitor = SILENT,
    ) -> DownloadResult:
        """Write objects of ``main`` into a folder; see `Branch.download`."""
        return self._main().download(paths, save_dir, monitor=monitor)

    def open(self, path: str) -> BinaryIO:
        """Open an object of ``main`` for reading."""
        return self._main().open(path)

    def diff(
        self, old: str | Version, new: str | Version = DEFAULT_REF, **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield what turns ``old`` into ``new``; options as `Branch.diff` has them."""
        before, after = (
            self.version(each) if isinstance(each, str) else each for each in (old, new)
        )
        return before.diff(after, **options)

    # Changing.

    def update(
        self,
        name: str | None = None,
        labels: Sequence[str] | None = None,
        description: str | None = None,
    ) -> None:
        """Change name, labels (all of them anew) or description; None leaves one as it is.

        Raises:
            AlreadyExistsError: the folder has an asset of that name.
        """
        if name is None and labels is None and description is None:
            return
        old = self.title
        self.record = self.core.hub.update_asset(
            self.record.id,
            name=name,
            labels=None if labels is None else check_sequence(labels, "labels"),
            description=description,
        )
        renamed = f" to {self.name}" if name is not None else ""
        self.core.notify(f"{'Renaming' if renamed else 'Updating'} {old}{renamed}")

    def delete(self) -> None:
        """Delete this asset with its branches, tags, runs and evaluations."""
        self.core.hub.delete_asset(self.record.id)
        self.core.notify(f"Deleting {self.title} in Folder {self.record.folder_name}")

    def merge(
        self,
        source: str | Version,
        target: str = DEFAULT_REF,
        *,
        msg: str | None = None,
        strategy: Strategy = "three-way",
        expect: str | Commit | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Commit | None:
        """Merge ``source`` into the branch ``target``.

        A target that has nothing new simply moves on.

        Args:
            source: a version, or a reference of one.
            target: the branch that is changed.
            msg: the merge commit's message.
            strategy: ``three-way`` takes what each side changed and refuses where both changed an
                object differently; there ``ours`` takes the target's, ``theirs`` the source's.
                ``replace`` makes the target exactly the source.
            expect: fail unless this is the target's head.
            metadata: small values that the merge commit carries.

        Returns:
            The target's new commit, None when it had all of the source already.

        Raises:
            MergeConflictError: both sides changed a path differently; nothing was changed.
            ConflictError: the target is not at ``expect``.
        """
        version = self.version(source) if isinstance(source, str) else source
        made = merge_versions(
            Branch(self, target),
            version,
            msg=msg,
            strategy=strategy,
            expect=self.expected(expect, target),
            metadata=metadata,
        )
        return None if made is None else self.commit_of(made)

    # What the classes around need.

    def commit_of(self, commit: CommitId) -> Commit:
        """Return the commit of this asset with this id, unchecked."""
        return Commit(self, commit)

    def expected(self, expect: str | Commit | None, branch: str) -> CommitId | None:
        """Return the commit that a caller expects at a branch's head.

        Raises:
            NotFoundError: there is no such commit, so it can't be the head.
        """
        if expect is None:
            return None
        if isinstance(expect, Version):
            return expect.head
        try:
            return self.get_commit(expect).head
        except NotFoundError:
            raise NotFoundError(
                f"branch {branch!r} can't be at {expect!r}: {self.title} has no such commit",
                id=expect,
            ) from None

    def as_model(self) -> Model:
        """Return this asset as the model it must be.

        Raises:
            InvalidInputError: it is a dataset.
        """
        raise InvalidInputError(f"{self.path} is a dataset; only models are trained and evaluated")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asset) and other.record.id == self.record.id

    def __hash__(self) -> int:
        return hash(self.record.id)
