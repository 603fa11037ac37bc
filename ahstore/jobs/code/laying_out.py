"""A run's code as files: the commit checked out, and the changes that were on it applied.

What comes of the patch is compared with the tree that was recorded, so that a run has exactly the
code that its record names or none.
"""

from __future__ import annotations

import os
import tempfile

from ahstore.errors import CorruptError, NotFoundError, RunFailedError
from ahstore.jobs.code.git import FETCH_SECONDS, Git
from ahstore.jobs.code.git_source import GitSource
from ahstore.jobs.code.working_copy import MAX_PATCH_BYTES
from ahstore.jobs.spec import CodeVersion
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import find_object, open_object

PATCH_NAME = "asset-hub.patch"
"""In the commit that holds a run's changes, and in the commit of what a training made of them."""

_AS_IT_STANDS = ("-c", "apply.whitespace=nowarn", "-c", "apply.ignoreWhitespace=no")


def read_patch(repo: Repository, code: CodeVersion) -> bytes | None:
    """Return the changes that were on the code's commit, None if it is just that commit.

    Raises:
        NotFoundError: the store does not have them (any more).
        CorruptError: they are no patch of ours.
    """
    if code.changes is None:
        return None
    held = code.changes.commit
    entry = find_object(repo, held, PATCH_NAME)
    if entry is None:
        raise NotFoundError(f"commit {held.hex()[:8]} has no {PATCH_NAME}", commit=held.hex())
    if entry.size > MAX_PATCH_BYTES:
        raise CorruptError(f"{PATCH_NAME} of commit {held.hex()[:8]} is too large to be one")
    with open_object(repo, held, PATCH_NAME) as file:
        return file.read()


def patch_file(repo: Repository, code: CodeVersion) -> dict[str, bytes]:
    """Return the code's changes as a file of a commit: with it they go wherever that goes."""
    patch = read_patch(repo, code)
    return {} if patch is None else {PATCH_NAME: patch}


def lay_out(
    git: Git, source: GitSource, code: CodeVersion, folder: str, *, patch: bytes | None
) -> None:
    """Make ``folder`` (new or empty) a checkout of the code, with ``patch`` applied to it.

    HEAD is the commit, and the changes are staged, as if ``git add`` had been used.

    Raises:
        NotFoundError: the repository can't be reached or does not have the commit.
        RunFailedError: the patch does not lead to the tree that was recorded.
    """
    git.check_out(source, code.commit, folder)
    if patch is None or code.changes is None:
        return
    tree = _patched_tree(git, folder, code.commit, patch)
    if tree != code.changes.tree:
        raise RunFailedError(
            f"the uncommitted changes can't be had again: on {code.commit[:8]} they lead to tree"
            f" {tree[:8]} and not to {code.changes.tree[:8]}"
        )
    # From HEAD to the tree, in index and files: what is the same in both is not touched.
    git.run(
        ["read-tree", "-m", "-u", code.commit, tree],
        folder=folder, source=source, doing="applying changes to", timeout=FETCH_SECONDS,
    )  # fmt: skip


def _patched_tree(git: Git, folder: str, commit: str, patch: bytes) -> str:
    """Return the tree that a patch makes of a commit; only an index of its own is touched."""
    if not patch:
        return git.run(
            ["rev-parse", "--verify", f"{commit}^{{tree}}"], folder=folder, doing="reading"
        ).decode().strip()  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ahstore-index-") as scratch:
        index = {"GIT_INDEX_FILE": os.path.join(scratch, "index")}
        git.run(["read-tree", commit], folder=folder, doing="reading", variables=index)
        try:
            git.run(
                [*_AS_IT_STANDS, "apply", "--cached", "-"],
                folder=folder,
                doing="applying changes to",
                timeout=FETCH_SECONDS,
                given=patch,
                variables=index,
            )
        except NotFoundError as error:
            raise RunFailedError(f"the uncommitted changes can't be applied: {error}") from error
        tree = git.run(["write-tree"], folder=folder, doing="reading", variables=index)
    return tree.decode("ascii").strip()
