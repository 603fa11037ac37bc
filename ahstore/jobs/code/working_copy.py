"""A local working copy's changes: what is neither committed nor ignored, as a patch on its commit.

The working copy is read by git through a mirror (``git.py``) with an index and a configuration of
its own: no filter, hook, file-system monitor or setting of the repository is in force, links are
recorded and never followed, nothing is written to it. What is taken is what ``git add`` would take,
but for files whose names say that they hold secrets. The patch is plain ``git diff --binary``, and
the id of the tree that it leads to goes with it (docs/format/runs.md, "Changes").
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ahstore.errors import AhError, InvalidInputError
from ahstore.hub.sizes import format_size
from ahstore.jobs.code.git import Git, Mirror
from ahstore.jobs.code.git_source import GitSource
from ahstore.jobs.code.secret_signs import find_secret, is_secret_file

MAX_CHANGED_BYTES = 32 << 20
MAX_CHANGED_FILES = 10_000
MAX_PATCH_BYTES = 96 << 20
MAX_POINTER_BYTES = 1024
SHOWN_NAMES = 5
LOOK_SECONDS = 10.0

# Of the working copy's own configuration only how its files relate to the committed bytes.
_SETTINGS = {
    "core.autocrlf": re.compile(r"true|false|input"),
    "core.eol": re.compile(r"lf|crlf|native"),
    "core.filemode": re.compile(r"true|false"),
}
_EXCLUDES = "core.excludesfile"
_POINTER = re.compile(rb"version https://git-lfs[^\n]*\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\n")
_NO_CONFIGURATION = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "0",
}


@dataclass(frozen=True, slots=True)
class Changes:
    """What lies in a working copy on top of its commit.

    Attributes:
        patch: as ``git diff --binary --full-index`` gives it.
        tree: git's id of the tree that the patch leads to.
        files: how many files it touches.
        left_out: files that were not taken, since their names say that they hold secrets.
    """

    patch: bytes
    tree: str
    files: int
    left_out: tuple[str, ...] = ()


def find_working_copy(source: GitSource) -> str | None:
    """Return the folder of a local repository's working copy, None if it has none."""
    if not source.is_local:
        return None
    top = source.url
    if os.path.basename(top) == ".git":
        top = os.path.dirname(top)
    return top if os.path.lexists(os.path.join(top, ".git")) else None


def take_changes(git: Git, mirror: Mirror, top: str, commit: str) -> Changes | None:
    """Return the changes in the working copy ``top`` on ``commit``, None if there are none.

    Objects that this makes lie in the mirror, so that it can read the tree of the changes.

    Raises:
        InvalidInputError: another commit is checked out, or there is too much, or a secret in it.
    """
    head = mirror.resolve("HEAD")
    if head != commit:
        raise InvalidInputError(
            f"the working copy {top} is at {head[:8]}, not at {commit[:8]}: its changes can only be"
            " taken with the commit that is checked out",
            path=top,
        )
    return _Reading(git, mirror, top, commit).take()


def has_changes(git: Git, mirror: Mirror, top: str, commit: str) -> bool:
    """Tell whether ``commit`` is checked out in ``top`` and has changes on it.

    What can't be told within some seconds has none: this is for a hint.
    """
    try:
        if mirror.resolve("HEAD") != commit:
            return False
        return _Reading(git, mirror, top, commit, timeout=LOOK_SECONDS).is_changed()
    except AhError:
        return False


@dataclass(frozen=True, slots=True)
class _Entry:
    """A path that is not as committed; ``blob`` is git's id of what was, None for a new file."""

    path: str
    kind: str
    blob: str | None


class _Reading:
    """One look at a working copy, with an index that is thrown away."""

    def __init__(
        self, git: Git, mirror: Mirror, top: str, commit: str, *, timeout: float = 600.0
    ) -> None:
        self._git = git
        self._mirror = mirror
        self._top = top
        self._commit = commit
        self._timeout = timeout
        self._variables = {
            **_NO_CONFIGURATION,
            "GIT_INDEX_FILE": os.path.join(mirror.git_dir, "working-copy.index"),
        }
        self._settings, self._excludes = self._read_settings()

    def is_changed(self) -> bool:
        return next(self._entries(), None) is not None

    def take(self) -> Changes | None:
        found = list(self._entries())
        fetched_later = self._fetched_later(found)
        found = [entry for entry in found if entry.path not in fetched_later]
        left_out = tuple(entry.path for entry in found if is_secret_file(entry.path))
        taken = [entry for entry in found if not is_secret_file(entry.path)]
        self._check_size(taken)
        self._add(taken)
        tree = self._run("write-tree").decode("ascii").strip()
        patch = self._patch(tree)
        if not patch:
            return Changes(b"", tree, 0, left_out) if left_out else None
        self._check_content(taken, patch)
        return Changes(patch, tree, len(taken), left_out)

    # What is there.

    def _entries(self) -> Iterator[_Entry]:
        self._run("read-tree", self._commit)
        refresh = ["update-index", "-q", "--ignore-submodules", "--refresh"]
        self._git.try_run(
            self._arguments(refresh),
            folder=self._top, variables=self._variables, timeout=self._timeout,
        )  # fmt: skip
        yield from self._tracked()
        yield from self._untracked()

    def _tracked(self) -> Iterator[_Entry]:
        listing = self._run(
            "diff-files", "-z", "--raw", "--no-renames", "--no-ext-diff", "--full-index",
            "--ignore-submodules=all",
        ).split(b"\0")  # fmt: skip
        for about, path in zip(listing[::2], listing[1::2], strict=False):
            _, _, blob, _, kind = about.decode("ascii").lstrip(":").split(" ")
            yield _Entry(os.fsdecode(path), kind[0], blob)

    def _untracked(self) -> Iterator[_Entry]:
        rules = [f"--exclude-from={path}" for path in self._excludes if os.path.isfile(path)]
        listing = self._run(
            "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore", *rules
        )
        for path in listing.split(b"\0"):
            # A name that ends so is another repository in a folder of this one.
            if path and not path.endswith(b"/"):
                yield _Entry(os.fsdecode(path), "A", None)

    def _fetched_later(self, entries: Sequence[_Entry]) -> frozenset[str]:
        """Return the files that are what committed pointers of Git LFS stand for."""
        blobs = {entry.path: entry.blob for entry in entries if entry.kind == "M" and entry.blob}
        if not blobs:
            return frozenset()
        names = b"".join(os.fsencode(path) + b"\0" for path in blobs)
        answers = self._run("check-attr", "-z", "--stdin", "filter", given=names).split(b"\0")
        lfs = [
            os.fsdecode(path)
            for path, driver in zip(answers[::3], answers[2::3], strict=False)
            if driver == b"lfs"
        ]
        return frozenset(path for path in lfs if self._is_as_pointed(path, blobs[path]))

    def _is_as_pointed(self, path: str, blob: str) -> bool:
        if int(self._run("cat-file", "-s", blob)) > MAX_POINTER_BYTES:
            return False
        match = _POINTER.match(self._run("cat-file", "blob", blob))
        return match is not None and match.group(1).decode() == self._sha256(path)

    def _sha256(self, path: str) -> str:
        with self._open(path) as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def _open(self, path: str) -> BinaryIO:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            return os.fdopen(os.open(os.path.join(self._top, path), flags), "rb")
        except OSError as error:
            raise self._moving(path) from error

    # Checks.

    def _check_size(self, entries: Sequence[_Entry]) -> None:
        sizes = {entry.path: self._size(entry) for entry in entries}
        total = sum(sizes.values())
        if len(entries) <= MAX_CHANGED_FILES and total <= MAX_CHANGED_BYTES:
            return
        largest = sorted(sizes, key=lambda path: -sizes[path])[:SHOWN_NAMES]
        shown = ", ".join(f"{path} ({format_size(sizes[path])})" for path in largest)
        raise InvalidInputError(
            f"the changes in {self._top} are {len(entries)} files of {format_size(total)}, more than"
            f" {MAX_CHANGED_FILES} files or {format_size(MAX_CHANGED_BYTES)}: commit them, make them"
            f" a dataset, or have .gitignore name them; the largest: {shown}",
            size=total,
        )

    def _size(self, entry: _Entry) -> int:
        if entry.kind == "D":
            return 0
        try:
            status = os.lstat(os.path.join(self._top, entry.path))
        except OSError as error:
            raise self._moving(entry.path) from error
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            raise InvalidInputError(
                f"{entry.path} in {self._top} is neither a file nor a link", path=entry.path
            )
        return status.st_size

    def _check_content(self, entries: Sequence[_Entry], patch: bytes) -> None:
        kind, where = find_secret(patch), "the changes"
        if kind is None:
            # Bytes that are no text stand packed in the patch.
            secrets = ((self._secret_in(entry), entry.path) for entry in entries)
            kind, where = next((found for found in secrets if found[0]), (None, where))
        if kind is not None:
            raise InvalidInputError(
                f"{where} in {self._top} seem to hold {kind}, which the store would keep: take it"
                " out of the code, or have .gitignore name its file",
                path=self._top,
            )

    def _secret_in(self, entry: _Entry) -> str | None:
        if entry.kind == "D" or os.path.islink(os.path.join(self._top, entry.path)):
            return None
        with self._open(entry.path) as file:
            data = file.read(MAX_CHANGED_BYTES + 1)
        return find_secret(data) if b"\0" in data else None

    def _moving(self, path: str) -> InvalidInputError:
        return InvalidInputError(
            f"{path} in {self._top} was changed while it was read: try again", path=path
        )

    # Taking.

    def _add(self, entries: Sequence[_Entry]) -> None:
        gone = [entry.path for entry in entries if entry.kind == "D"]
        here = [entry.path for entry in entries if entry.kind != "D"]
        for options, paths in (("--force-remove", gone), ("--add", here)):
            if paths:
                names = b"".join(os.fsencode(path) + b"\0" for path in paths)
                replace = ["--replace"] if options == "--add" else []
                self._run("update-index", *replace, options, "-z", "--stdin", given=names)

    def _patch(self, tree: str) -> bytes:
        patch = self._run(
            "diff-tree", "-p", "--binary", "--full-index", "--no-renames", "--no-color",
            "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/",
            self._commit, tree,
        )  # fmt: skip
        if len(patch) > MAX_PATCH_BYTES:
            raise InvalidInputError(
                f"the changes in {self._top} are a patch of more than"
                f" {format_size(MAX_PATCH_BYTES)}: commit them",
                size=len(patch),
            )
        return patch

    # git.

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        return self._git.run(
            self._arguments(arguments),
            folder=self._top,
            doing="reading the working copy of",
            timeout=self._timeout,
            given=given,
            variables=self._variables,
        )

    def _arguments(self, arguments: Sequence[str]) -> list[str]:
        places = [f"--git-dir={self._mirror.git_dir}", f"--work-tree={self._top}"]
        return [*self._settings, *places, "--literal-pathspecs", *arguments]

    def _read_settings(self) -> tuple[list[str], list[str]]:
        """Return options for git, and files that say what is ignored."""
        done = self._git.try_run(
            [
                "config",
                "-z",
                "--type=path",
                "--get-regexp",
                r"^core\.(excludesfile|autocrlf|eol|filemode)$",
            ],
            folder=self._top,
        )
        found = dict(
            line.partition("\n")[::2]
            for line in done.stdout.decode("utf-8", "surrogateescape").split("\0")
            if line
        )
        settings = [
            part
            for name, allowed in _SETTINGS.items()
            if allowed.fullmatch(found.get(name, "").lower())
            for part in ("-c", f"{name}={found[name].lower()}")
        ]
        own = self._git.try_run(["rev-parse", "--git-path", "info/exclude"], folder=self._top)
        excludes = [os.path.join(self._top, os.fsdecode(own.stdout.rstrip(b"\n")))]
        if found.get(_EXCLUDES):
            excludes.append(os.path.join(self._top, found[_EXCLUDES]))
        return settings, excludes
