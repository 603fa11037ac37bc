"""Running git safely: resolve a revision to a commit, check out that commit.

Repositories are hostile until shown otherwise. git is started with an argv list, ``--`` or
``--end-of-options`` before whatever comes from outside, a protocol allow-list, no hooks, no
templates, no submodules, no prompts. A local repository's own configuration is never in force:
it is read through a mirror made for the occasion that borrows the repository's objects.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ahstore.errors import InvalidInputError, NotFoundError, RunFailedError, UnsupportedError
from ahstore.jobs.code.git_source import GitSource, strip_userinfo
from ahstore.jobs.environment import git_environment

LOOK_UP_SECONDS = 60.0
FETCH_SECONDS = 3600.0
POLL_SECONDS = 0.2
MAX_REVISION_LENGTH = 256
MAX_REFS_BYTES = 256 << 20

_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{4,39}\Z")
_BAD_IN_REVISION = re.compile(r"[\x00-\x20\x7f:?*\[\\]|\.\.")

_SAFE_OPTIONS = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "submodule.recurse=false",
    "-c", "fetch.recurseSubmodules=false",
    "-c", "transfer.bundleURI=false",
    "-c", "protocol.version=2",
    "-c", "credential.interactive=false",
    "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
    "-c", "advice.detachedHead=false",
)  # fmt: skip


class Git:
    """git with the caller's environment; ``poll`` is called often and may raise to stop it."""

    def __init__(
        self, caller: Mapping[str, str], *, poll: Callable[[], None] = lambda: None
    ) -> None:
        self._caller = caller
        self._poll = poll

    def resolve(self, source: GitSource, revision: str) -> str:
        """Return the id of the commit that ``revision`` (branch, tag, commit) means now.

        Raises:
            InvalidInputError: the revision is malformed.
            NotFoundError: the repository is empty, or has no such revision, or can't be reached.
        """
        check_revision(revision)
        if source.is_local:
            with self.mirror(source) as mirror:
                return mirror.resolve(revision)
        return self._resolve_remote(source, revision)

    @contextlib.contextmanager
    def mirror(self, source: GitSource) -> Iterator[Mirror]:
        """Give a mirror of a local repository, which copies no objects and is gone afterwards.

        Raises:
            NotFoundError: the path holds no repository.
        """
        with tempfile.TemporaryDirectory(prefix="ahstore-git-") as folder:
            git_dir = os.path.join(folder, "mirror.git")
            self.run(
                [
                    "clone",
                    "--quiet",
                    "--mirror",
                    "--shared",
                    "--template=",
                    "--",
                    source.url,
                    git_dir,
                ],
                source=source,
                doing="reading",
                timeout=LOOK_UP_SECONDS,
            )
            yield Mirror(self, git_dir, source)

    def check_out(self, source: GitSource, commit: str, folder: str) -> None:
        """Make ``folder`` (new or empty) the tree of ``commit``, with a repository of that commit.

        Raises:
            NotFoundError: the repository can't be reached or does not have the commit.
        """
        assert _COMMIT.match(commit)
        object_format = "sha256" if len(commit) == 64 else "sha1"
        self.run(
            ["init", "--quiet", "--template=", f"--object-format={object_format}", "--", folder],
            doing="making a checkout of",
        )
        self._fetch(source, commit, folder)
        self.run(
            ["checkout", "--quiet", "--force", "--detach", commit],
            folder=folder,
            source=source,
            doing="checking out",
            timeout=FETCH_SECONDS,
        )
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, ".git", "FETCH_HEAD"))

    def _fetch(self, source: GitSource, commit: str, folder: str) -> None:
        fetch = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
        ]
        try:
            self.run(
                [*fetch, "--depth=1", "--", source.url, commit],
                folder=folder, source=source, doing="fetching from", timeout=FETCH_SECONDS,
            )  # fmt: skip
        except NotFoundError:
            # Some servers give only what a ref points to: then fetch all refs and look there.
            refs = ["+refs/heads/*:refs/fetched/heads/*", "+refs/tags/*:refs/fetched/tags/*"]
            self.run(
                [*fetch, "--", source.url, *refs],
                folder=folder, source=source, doing="fetching from", timeout=FETCH_SECONDS,
            )  # fmt: skip
        if not self.has_commit(folder, commit):
            raise NotFoundError(f"commit {commit} is not in {source.url} any more", commit=commit)

    def has_commit(self, folder: str, commit: str) -> bool:
        """Tell whether the repository in ``folder`` has the commit with this full id."""
        done = self.try_run(
            ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"],
            folder=folder,
        )
        return done.returncode == 0

    def _resolve_remote(self, source: GitSource, revision: str) -> str:
        listing = self.run(
            ["ls-remote", "--quiet", "--", source.url], source=source, doing="reading"
        )
        refs = dict(_parse_refs(listing))
        if not refs:
            raise NotFoundError(f"git repository {source.url} is empty", repo=source.url)
        if _COMMIT.match(revision):
            return revision
        for name in (
            revision,
            f"refs/{revision}",
            f"refs/tags/{revision}",
            f"refs/heads/{revision}",
        ):
            if name in refs:
                return refs.get(f"{name}^{{}}", refs[name])
        hint = ""
        if _SHORT_COMMIT.match(revision):
            hint = "; of a remote repository give the commit's full id"
        raise NotFoundError(
            f"git repository {source.url} has no branch or tag {revision!r}{hint}",
            repo=source.url, revision=revision,
        )  # fmt: skip

    def run(
        self,
        arguments: Sequence[str],
        *,
        doing: str,
        folder: str | None = None,
        source: GitSource | None = None,
        timeout: float = LOOK_UP_SECONDS,
        given: bytes = b"",
        variables: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return what git prints; it reads ``given``, and has ``variables`` beside its own.

        Raises:
            NotFoundError: git fails; its last words, without secrets, are in the message.
            UnsupportedError: there is no git.
        """
        done = self.try_run(
            arguments,
            folder=folder, source=source, timeout=timeout, given=given, variables=variables,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout
        what = source.url if source is not None else "a git repository"
        said = _last_words(done.stderr, source)
        raise NotFoundError(f"{doing} git repository {what} failed: {said}", repo=what, said=said)

    def try_run(
        self,
        arguments: Sequence[str],
        *,
        folder: str | None = None,
        source: GitSource | None = None,
        timeout: float = LOOK_UP_SECONDS,
        given: bytes = b"",
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git to its end whatever its exit status; it has no terminal to ask anything on."""
        argv = ["git", *(["-C", folder] if folder else []), *_SAFE_OPTIONS, *arguments]
        environment = {**git_environment(self._caller, source), **(variables or {})}
        with (
            tempfile.TemporaryFile() as text,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            text.write(given)
            text.seek(0)
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=text, stdout=out, stderr=err, env=environment, start_new_session=True,
                )  # fmt: skip
            except FileNotFoundError as error:
                raise UnsupportedError("there is no git on this machine: install it") from error
            self._await(process, timeout)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(
                argv, process.returncode, out.read(MAX_REFS_BYTES), err.read(1 << 20)
            )

    def _await(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        try:
            while not _ended(process):
                self._poll()
                if time.monotonic() > deadline:
                    raise RunFailedError(f"git took longer than {timeout:g} s")
        finally:
            _kill_session(process)


class Mirror:
    """A throw-away bare repository with a local repository's refs and (borrowed) objects.

    ``git_dir`` is its folder. Where a commit is asked for, a tree's id does as well.
    """

    def __init__(self, git: Git, git_dir: str, source: GitSource) -> None:
        self._git = git
        self.git_dir = git_dir
        self._source = source

    def resolve(self, revision: str) -> str:
        """Return the full id of the commit that ``revision`` means.

        Raises:
            NotFoundError: the repository is empty or has no such commit.
        """
        check_revision(revision)
        done = self._git.try_run(
            ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"],
            folder=self.git_dir,
        )
        commit = done.stdout.decode("ascii", "replace").strip()
        if done.returncode == 0 and _COMMIT.match(commit):
            return commit
        where = self._source.url
        if not self._git.run(["for-each-ref", "--count=1"], folder=self.git_dir, doing="reading"):
            raise NotFoundError(f"git repository {where} is empty: commit to it first", repo=where)
        raise NotFoundError(
            f"git repository {where} has no revision {revision!r}", repo=where, revision=revision
        )

    def names(self, commit: str, subpath: str) -> frozenset[str]:
        """Return the names of the files in the folder ``subpath`` of ``commit``.

        Raises:
            NotFoundError: there is no such folder (a symbolic link is none).
        """
        tree = f"{commit}:{'' if subpath == '.' else subpath}"
        kind = self._git.try_run(["cat-file", "-t", "--", tree], folder=self.git_dir)
        if kind.stdout.strip() != b"tree":
            raise NotFoundError(
                f"git repository {self._source.url} has no folder {subpath!r} at {commit[:8]}",
                repo=self._source.url, subpath=subpath,
            )  # fmt: skip
        listing = self._git.run(
            ["ls-tree", "-z", "--name-only", "--end-of-options", tree],
            folder=self.git_dir,
            doing="reading",
        )
        return frozenset(os.fsdecode(name) for name in listing.split(b"\0") if name)

    def read(self, commit: str, path: str) -> bytes:
        """Return the bytes of a file of ``commit``.

        Raises:
            NotFoundError: it is no file.
        """
        return self._git.run(
            ["cat-file", "blob", "--", f"{commit}:{path}"], folder=self.git_dir, doing="reading"
        )


def check_commit(commit: str) -> str:
    """Return ``commit`` if it is the full id of one.

    Raises:
        InvalidInputError: it is not.
    """
    if not _COMMIT.match(commit):
        raise InvalidInputError(
            f"{commit[:100]!r} is no full id of a git commit", value=commit[:100]
        )
    return commit


def check_revision(revision: str) -> str:
    """Return ``revision`` if it may be handed to git.

    Raises:
        InvalidInputError: it looks like an option or has characters no revision has.
    """
    problem = ""
    if not revision or len(revision) > MAX_REVISION_LENGTH:
        problem = f"give a branch, tag or commit of 1 to {MAX_REVISION_LENGTH} characters"
    elif revision.startswith("-"):
        problem = "it looks like an option"
    elif _BAD_IN_REVISION.search(revision):
        problem = "it has characters that no revision may have"
    if problem:
        raise InvalidInputError(
            f"invalid git revision {revision[:200]!r}: {problem}", value=revision[:200]
        )
    return revision


def _parse_refs(listing: bytes) -> Iterator[tuple[str, str]]:
    for line in listing.decode("utf-8", "surrogateescape").splitlines():
        commit, tab, name = line.partition("\t")
        if tab and _COMMIT.match(commit):
            yield name, commit


def _last_words(stderr: bytes, source: GitSource | None) -> str:
    text = stderr.decode("utf-8", "replace")
    if source is not None and source.secret_url is not None:
        text = text.replace(source.secret_url, source.url)
    lines = [line.strip() for line in strip_userinfo(text).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    return "; ".join(telling[:3])[:500] or "git gave no reason"


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """End git and whatever it started (ssh, remote helpers), which share its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
