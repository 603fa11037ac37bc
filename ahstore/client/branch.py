"""A branch as people hold it: committing to it, moving it, and what it has been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ahstore.client import describe, history
from ahstore.client.additions import Additions, as_additions
from ahstore.client.core import check_sequence
from ahstore.client.left_out import LeftOut
from ahstore.client.transaction import Transaction
from ahstore.client.version import Version
from ahstore.errors import InvalidInputError
from ahstore.hub.paths import DEFAULT_REF
from ahstore.ids import CommitId
from ahstore.versions.history.threeway import Side
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.publish import Published, Signature

if TYPE_CHECKING:
    from ahstore.client.ref import Commit, Tag
    from ahstore.versions.history.merge import Strategy
    from ahstore.versions.history.picking import Picked


class Branch(Version):
    """A name that moves with each commit. ``commit_id`` is always that of its present head."""

    kind = "branch"

    def to_dict(self) -> dict[str, Any]:
        """Return the branch as `Asset.list_branch` has it."""
        return describe.ref(self._ref())

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
        from ahstore.versions.adding.commits import commit_files  # start-up

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
            monitor=LeftOut(self._core.notify, monitor),
        )
        if made is None:
            self._core.notify("Nothing to commit: the branch has all of this already")
            return None
        self._core.notify(f"Commit {made.commit.hex()[:8]} created")
        return self.asset.commit_of(made.commit)

    def transaction(
        self,
        message: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        expect: str | Commit | None = None,
    ) -> Transaction:
        """Begin a commit that is written piece by piece, in a ``with`` block.

        What is put is published when the block ends, all in one commit, and nothing of it when it
        ends with an exception; see `Transaction`. What others commit meanwhile is kept; of an
        object that both wrote, this one is.

        Args:
            message: the commit's message.
            metadata: small values that the commit carries.
            expect: fail unless this is the branch's head, then and when it ends.

        Raises:
            ConflictError: the branch is not at ``expect``.
        """
        return Transaction(self, message, metadata=metadata, expect=self._expected(expect))

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
        metadata: Mapping[str, Any] | None = None,
    ) -> Commit | None:
        """Merge this branch into ``target``; see `Asset.merge`."""
        return self.asset.merge(
            self, target, msg=msg, strategy=strategy, expect=expect, metadata=metadata
        )

    def revert(
        self,
        commit: str | Version,
        *,
        msg: str | None = None,
        mainline: int | None = None,
        strategy: Strategy = "three-way",
        expect: str | Commit | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Commit | None:
        """Commit the inverse of what a commit changed.

        Args:
            commit: a commit, or a reference of one.
            msg: the message; says what was reverted if it is left out.
            mainline: of a merge, the parent (from 1) against which its change is meant.
            strategy: where objects were changed again since: ``three-way`` refuses, ``ours`` leaves
                them as they are now, ``theirs`` makes them what they were before the commit.
            expect: fail unless this is the branch's head.
            metadata: small values that the commit carries.

        Returns:
            The commit, None when nothing of the change is left.

        Raises:
            MergeConflictError: what it changed was changed again since; nothing was done.
            InvalidInputError: it is a merge, and ``mainline`` is missing.
            ConflictError: the branch is not at ``expect``.
        """
        from ahstore.versions.history.picking import revert  # start-up

        version, picked = self._picked(commit, mainline)
        first = version.message.strip().partition("\n")[0]
        text = msg or f'Revert "{first}"\n\nThis reverts commit {version.commit_id}.'
        made = revert(
            self._core.repo,
            self.asset.record.id,
            self.name,
            picked,
            self._signature(text, metadata),
            favour=as_side(strategy),
            expect=self._expected(expect),
        )
        return self._tell(made, f"Reverting commit {version.commit_id[:8]}")

    def cherry_pick(
        self,
        commit: str | Version,
        *,
        msg: str | None = None,
        mainline: int | None = None,
        strategy: Strategy = "three-way",
        expect: str | Commit | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Commit | None:
        """Commit what another commit changed; arguments as for `revert`.

        The message is that of the commit if it is left out. Its metadata are taken over, with
        ``cherry_picked_from`` added.
        """
        from ahstore.versions.history.picking import cherry_pick  # start-up

        version, picked = self._picked(commit, mainline)
        body = version.body
        carried = {**body.metadata, "cherry_picked_from": version.commit_id, **(metadata or {})}
        made = cherry_pick(
            self._core.repo,
            self.asset.record.id,
            self.name,
            picked,
            self._signature(msg or body.message, carried),
            favour=as_side(strategy),
            expect=self._expected(expect),
        )
        return self._tell(made, f"Picking commit {version.commit_id[:8]}")

    def restore(
        self,
        paths: Sequence[str],
        source: str | Version,
        *,
        msg: str | None = None,
        expect: str | Commit | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Commit | None:
        """Make objects and folders exactly what they are in ``source``, by one commit.

        No bytes are read or written. What a folder holds now and not there is deleted.

        Args:
            paths: objects, or folders (``sub/`` or ``sub``) with all below.
            source: where they come from: a version, or a reference of one.
            msg: the message; says what was restored if it is left out.
            expect: fail unless this is the branch's head.
            metadata: small values that the commit carries.

        Returns:
            The commit, None when nothing differs there.

        Raises:
            ObjectNotFoundError: ``source`` has nothing at one of the paths.
            ConflictError: the branch is not at ``expect``.
        """
        from ahstore.versions.history.recover import restore_objects  # start-up

        version = self._pinned(source)
        wanted = check_sequence(paths, "paths")
        if not wanted:
            raise InvalidInputError("nothing to restore: name objects or folders")
        shown = ", ".join(wanted[:3]) + (" …" if len(wanted) > 3 else "")
        made = restore_objects(
            self._core.repo,
            self.asset.record.id,
            self.name,
            version.head,
            wanted,
            self._signature(msg or f"Restore {shown} from {version.commit_id[:8]}", metadata),
            via=version.via,
            expect=self._expected(expect),
        )
        return self._tell(made, f"Restoring {shown} from commit {version.commit_id[:8]}")

    def list_head(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Return which commits were this branch's head, newest first: what ``@{N}`` walks.

        Also those from which it was reset, and those before it was deleted and made again. Each
        has ``index`` (None for a deletion), ``commit_id``, ``event`` (``created committed moved
        deleted``), ``time``, ``by`` and ``message``.
        """
        found = history.branch_heads(self._core.repo, self.asset.record.id, self.name)
        return list(islice(found, limit))

    def reset(
        self, ref: str | Version | None = None, *, expect: str | Commit | None = None
    ) -> None:
        """Make another commit of the asset this branch's head; the former stays at ``@{1}``.

        Without ``ref`` nothing is done: there are no uncommitted changes that could be cleared.

        Raises:
            NotFoundError: there is no such commit.
            ConflictError: the branch is not at ``expect``.
        """
        from ahstore.versions.history.reset import reset  # start-up

        if ref is None:
            return
        version = self._version(ref)
        to = version.head
        reset(
            self._core.repo,
            self.asset.record.id,
            self.name,
            to,
            committer=self._core.user,
            expect=self._expected(expect),
            via=version.via,
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

    def _version(self, version: str | Version) -> Version:
        """Return a version of this branch's asset.

        Raises:
            InvalidInputError: it is one of another asset.
        """
        if isinstance(version, str):
            return self.asset.version(version)
        if version.asset != self.asset:
            raise InvalidInputError(f"{version.path} is no version of {self.asset.title}")
        return version

    def _pinned(self, version: str | Version) -> Commit:
        """Return the commit that a version is at now: a branch moves by what is done with it."""
        found = self._version(version)
        pinned = self.asset.commit_of(found.head)
        pinned.via = found.via
        return pinned

    def _picked(self, commit: str | Version, mainline: int | None) -> tuple[Commit, Picked]:
        from ahstore.versions.history.picking import Picked  # start-up

        version = self._pinned(commit)
        return version, Picked(version.head, mainline, version.via)

    def _signature(self, message: str, metadata: Mapping[str, Any] | None) -> Signature:
        return Signature(message, self._core.user, dict(metadata or {}))

    def _tell(self, made: Published | None, doing: str) -> Commit | None:
        self._core.notify(f"{doing} in branch {self.name} of {self.asset.title}")
        if made is None:
            self._core.notify("Nothing to commit: the branch has all of this already")
            return None
        self._core.notify(f"Commit {made.id.hex()[:8]} created")
        return self.asset.commit_of(made.id)


def as_side(strategy: Strategy) -> Side | None:
    """Return the side that has its way in a conflict, None: none has.

    Raises:
        InvalidInputError: ``replace``, which is for merges, or none at all.
    """
    if strategy == "three-way":
        return None
    if strategy in ("ours", "theirs"):
        return strategy
    raise InvalidInputError(
        f"there is no strategy {strategy!r} here: use three-way, ours or theirs"
    )


def merge_versions(
    target: Branch,
    source: Version,
    *,
    msg: str | None,
    strategy: Strategy,
    expect: CommitId | None,
    metadata: Mapping[str, Any] | None,
) -> CommitId | None:
    """Merge and say what was done; the work of `Asset.merge`."""
    from ahstore.versions.history.merge import merge  # start-up

    if source.kind == "branch" and source.name == target.name:
        raise InvalidInputError(f"can't merge branch {target.name!r} into itself")
    asset, core = target.asset, target.asset.core
    name = source.name[:8] if source.kind == "commit" else source.name
    core.notify(f"Merging {source.kind} {name} into branch {target.name} of {asset.title}")
    made = merge(
        core.repo,
        asset.record.id,
        source.head,
        target.name,
        committer=core.user,
        message=msg or f"Merge {source.kind} {name} into {target.name}",
        metadata=dict(metadata or {}),
        strategy=strategy,
        expect=expect,
        via=source.via,
    )
    if made is None:
        core.notify(f"Nothing to merge: branch {target.name} has all of {name} already")
    else:
        core.notify(f"Branch {target.name} is now at commit {made.hex()[:8]}")
    return made
