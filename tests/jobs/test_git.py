from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from ahstore.errors import InvalidInputError, NotFoundError, RunFailedError, UnsupportedError
from ahstore.jobs.code.git import Git, check_revision
from ahstore.jobs.code.git_source import GitSource, parse_git_source
from ahstore.jobs.environment import git_environment
from tests.jobs.repositories import commit, git, make_repository

HOSTILE_REVISIONS = [
    "--upload-pack=touch canary",
    "--output=canary",
    "-x",
    "",
    "a b",
    "a..b",
    "a:b",
    "a\nb",
    "a\0b",
    "a\\b",
    "x" * 300,
]


def local(path: Path) -> GitSource:
    return parse_git_source(str(path), base="/")


@pytest.fixture
def caller(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}


def test_resolves_branches_tags_and_commits(tmp_path: Path, caller: dict[str, str]) -> None:
    repo = tmp_path / "repo"
    first = make_repository(repo, {"train.py": ""})
    git(repo, "tag", "-a", "v1", "-m", "x")
    git(repo, "branch", "feature/x")
    second = commit(repo, {"train.py": "2"})
    resolve = Git(caller).resolve
    assert resolve(local(repo), "master") == resolve(local(repo), "HEAD") == second
    assert resolve(local(repo), "v1") == resolve(local(repo), "feature/x") == first
    assert resolve(local(repo), "master~1") == resolve(local(repo), first[:8]) == first
    assert resolve(local(repo / ".git"), "master") == second
    with pytest.raises(NotFoundError, match="no revision 'nope'"):
        resolve(local(repo), "nope")


def test_resolves_a_remote_repository_by_its_refs(tmp_path: Path, caller: dict[str, str]) -> None:
    # The user's own url.insteadOf is what leads the https URL to a place that exists.
    repo = tmp_path / "user" / "repo"
    first = make_repository(repo, {"train.py": ""})
    git(repo, "tag", "-a", "v1", "-m", "x")
    second = commit(repo, {"train.py": "2"})
    Path(caller["HOME"], ".gitconfig").write_text(
        f'[url "{tmp_path}/"]\n\tinsteadOf = https://git.example.org/\n'
    )
    source = parse_git_source("https://token@git.example.org/user/repo", base="/")
    assert source.url == "https://git.example.org/user/repo"
    clean = GitSource(source.url, is_local=False)
    resolve = Git(caller).resolve
    assert resolve(clean, "master") == resolve(clean, "refs/heads/master") == second
    assert resolve(clean, "v1") == first
    assert resolve(clean, first) == first
    with pytest.raises(NotFoundError, match="give the commit's full id"):
        resolve(clean, first[:8])
    Git(caller).check_out(clean, first, str(tmp_path / "code"))
    assert (tmp_path / "code" / "train.py").read_text() == ""


def test_says_what_is_wrong(tmp_path: Path, caller: dict[str, str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NotFoundError, match=r"reading git repository .* failed"):
        Git(caller).resolve(local(empty), "master")
    git(empty, "init", "-q")
    with pytest.raises(NotFoundError, match="is empty: commit to it first"):
        Git(caller).resolve(local(empty), "master")
    Path(caller["HOME"], ".gitconfig").write_text(
        f'[url "{tmp_path}/"]\n\tinsteadOf = https://git.example.org/\n'
    )
    with pytest.raises(NotFoundError, match="is empty"):
        Git(caller).resolve(GitSource("https://git.example.org/empty", is_local=False), "master")
    with pytest.raises(UnsupportedError, match="no git"):
        Git({**caller, "PATH": str(empty)}).resolve(local(empty), "master")


def test_mirror_tells_folders_and_files(tmp_path: Path, caller: dict[str, str]) -> None:
    repo = tmp_path / "repo"
    make_repository(repo, {"mnist/train.py": "x", "mnist/sub/y": "", "top": ""})
    (repo / "link").symlink_to("mnist")
    head = commit(repo, {})
    with Git(caller).mirror(local(repo)) as mirror:
        assert mirror.names(head, "mnist") == {"train.py", "sub"}
        assert mirror.names(head, ".") == {"mnist", "top", "link"}
        assert mirror.read(head, "mnist/train.py") == b"x"
        for missing in ("nope", "top", "link", "--help", "mnist/train.py"):
            with pytest.raises(NotFoundError, match="no folder"):
                mirror.names(head, missing)


@pytest.mark.parametrize("revision", HOSTILE_REVISIONS)
def test_hostile_revisions_never_reach_git(
    revision: str, tmp_path: Path, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Prevents that a revision becomes an option of git that runs a command or writes a file.
    repo = tmp_path / "repo"
    make_repository(repo, {"train.py": ""})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError):
        check_revision(revision)
    with pytest.raises(InvalidInputError):
        Git(caller).resolve(local(repo), revision)
    assert not (tmp_path / "canary").exists()


def plant(path: Path, canary: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {path.name} >> {canary}\ncat\n")
    path.chmod(0o755)
    return path


def test_a_hostile_local_repository_runs_nothing(tmp_path: Path, caller: dict[str, str]) -> None:
    # A repository unpacked from an archive brings configuration and hooks: none may take effect.
    repo, canary = tmp_path / "repo", tmp_path / "canary"
    make_repository(repo, {"train.py": "x", ".gitattributes": "* filter=evil diff=evil\n"})
    evil = plant(tmp_path / "evil", canary)
    for key in (
        "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass",
        "core.alternateRefsCommand", "uploadpack.packObjectsHook", "gpg.program",
        "diff.external", "diff.evil.textconv", "filter.evil.smudge", "filter.evil.process",
        "filter.evil.clean", "credential.helper", "remote.origin.uploadpack",
        "alias.rev-parse", "alias.upload-pack", "protocol.ext.allow",
        "trace2.eventTarget", "init.templateDir", "sequence.editor",
    ):  # fmt: skip
        git(repo, "config", key, str(evil))
    git(repo, "config", "protocol.ext.allow", "always")
    git(repo, "config", "remote.origin.url", str(repo))
    git(repo, "config", "remote.origin.promisor", "true")
    git(repo, "config", "core.repositoryFormatVersion", "1")
    git(repo, "config", "extensions.partialClone", "origin")
    for hook in ("post-checkout", "pre-receive", "post-update", "reference-transaction", "update"):
        plant(repo / ".git" / "hooks" / hook, canary)
    missing = "1" * 40
    (repo / ".git" / "refs" / "heads" / "gone").write_text(missing + "\n")
    runner = Git(caller)
    for revision in ("master", "gone", "master~3", missing):
        try:
            commit_id = runner.resolve(local(repo), revision)
            with runner.mirror(local(repo)) as mirror:
                mirror.names(commit_id, ".")
            runner.check_out(local(repo), commit_id, str(tmp_path / "code"))
        except NotFoundError:
            continue
    assert not canary.exists(), canary.read_text()


def test_the_users_hooks_and_templates_stay_out(tmp_path: Path, caller: dict[str, str]) -> None:
    # Hooks meant for the user's own work must neither run for, nor fail, a run's checkout.
    repo, canary = tmp_path / "repo", tmp_path / "canary"
    head = make_repository(repo, {"train.py": ""})
    for folder in ("hooks", "template/hooks"):
        for hook in ("post-checkout", "reference-transaction", "post-index-change"):
            plant(tmp_path / folder / hook, canary)
    config = Path(caller["HOME"], ".gitconfig")
    for setting in ("[core]\n\thooksPath = {}/hooks\n", "[init]\n\ttemplateDir = {}/template\n"):
        config.write_text(setting.format(tmp_path))
        assert Git(caller).resolve(local(repo), "HEAD") == head
        Git(caller).check_out(local(repo), head, str(tmp_path / f"code{len(setting)}"))
        assert not canary.exists(), canary.read_text()


def test_a_hostile_checkout_runs_nothing(tmp_path: Path, caller: dict[str, str]) -> None:
    # Submodules, links named .git and attributes must not run anything or leave the folder.
    repo, canary = tmp_path / "repo", tmp_path / "canary"
    make_repository(repo, {"train.py": ""})
    (repo / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch {canary}"\n\tupdate = !touch {canary}\n'
    )
    (repo / "x").mkdir()
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    (repo / "out").symlink_to(tmp_path)
    head = commit(repo, {})
    Git(caller).check_out(local(repo), head, str(tmp_path / "code"))
    assert not canary.exists()
    assert (tmp_path / "code" / "out").is_symlink()
    assert list((tmp_path / "code" / "x").iterdir()) == []


@pytest.mark.parametrize(
    "url", ["ext::sh -c 'touch {}'", "git://localhost/x", "http://localhost/x"]
)
def test_a_rewritten_url_keeps_to_the_protocols(
    url: str, tmp_path: Path, caller: dict[str, str]
) -> None:
    # Even when the user's configuration allows a protocol or rewrites into it, git may not use it.
    canary = tmp_path / "canary"
    Path(caller["HOME"], ".gitconfig").write_text(
        '[protocol]\n\tallow = always\n[protocol "ext"]\n\tallow = always\n'
        f'[url "{url.format(canary)} #"]\n\tinsteadOf = https://git.example.org/\n'
    )
    with pytest.raises(NotFoundError, match="not allowed"):
        Git(caller).resolve(GitSource("https://git.example.org/x", is_local=False), "master")
    assert not canary.exists()


def test_secrets_are_on_no_command_line(tmp_path: Path, caller: dict[str, str]) -> None:
    # `ps` shows command lines to every user, and messages end up in logs and records.
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    seen = tmp_path / "seen"
    fake = bin_folder / "git"
    fake.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\n'
        "echo \"fatal: unable to access 'https://user:s3cret@git.example.org/r?x=t0ken/'\" >&2\nexit 128\n"
    )
    fake.chmod(0o755)
    source = parse_git_source("https://user:s3cret@git.example.org/r?x=t0ken", base="/")
    with pytest.raises(NotFoundError) as caught:
        Git({**caller, "PATH": f"{bin_folder}:{caller['PATH']}"}).resolve(source, "master")
    assert "https://git.example.org/r" in seen.read_text()
    for text in (seen.read_text(), str(caught.value), repr(caught.value.details)):
        assert "s3cret" not in text
        assert "t0ken" not in text


def test_the_secret_url_is_what_git_uses(tmp_path: Path, caller: dict[str, str]) -> None:
    source = parse_git_source("https://user:s3cret@git.example.org/r", base="/")
    done = Git(caller).try_run(["ls-remote", "--get-url", "--", source.url], source=source)
    assert done.stdout.strip() == b"https://user:s3cret@git.example.org/r"


def test_the_callers_git_variables_do_not_mislead(tmp_path: Path, caller: dict[str, str]) -> None:
    repo = tmp_path / "repo"
    head = make_repository(repo, {"train.py": ""})
    other = tmp_path / "other"
    make_repository(other, {"x": ""})
    misled = {
        **caller,
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_CONFIG_PARAMETERS": "'protocol.ext.allow=always'",
        "GIT_TRACE_CURL": str(tmp_path / "trace"),
        "GIT_ALLOW_PROTOCOL": "ext",
    }
    environment = git_environment(misled)
    assert environment["GIT_ALLOW_PROTOCOL"] == "file:https:ssh"
    assert not {"GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG_PARAMETERS", "GIT_TRACE_CURL"} & set(
        environment
    )
    assert Git(misled).resolve(local(repo), "HEAD") == head


def test_checkout_is_of_that_commit_only(tmp_path: Path, caller: dict[str, str]) -> None:
    repo = tmp_path / "repo"
    first = make_repository(repo, {"train.py": "1", "run.sh": ""})
    (repo / "run.sh").chmod(0o755)
    second = commit(repo, {"train.py": "2"})
    git(repo, "reset", "-q", "--hard", first)
    code = tmp_path / "code"
    # `second` is on no branch any more: git's second protocol gives it all the same.
    Git(caller).check_out(local(repo), second, str(code))
    assert (code / "train.py").read_text() == "2"
    assert stat.S_IMODE((code / "run.sh").stat().st_mode) & 0o111
    assert git(code, "rev-parse", "HEAD") == second
    assert git(code, "remote") == ""
    with pytest.raises(NotFoundError):
        Git(caller).check_out(local(repo), "2" * 40, str(tmp_path / "code2"))


def test_git_that_hangs_is_ended(tmp_path: Path, caller: dict[str, str]) -> None:
    # A server that never answers must neither hold a run for ever nor outlive its stop.
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "git").write_text(f"#!/bin/sh\nsleep 77 & echo $! > {tmp_path}/pid\nwait\n")
    (bin_folder / "git").chmod(0o755)
    slow = {**caller, "PATH": f"{bin_folder}:{caller['PATH']}"}
    with pytest.raises(RunFailedError, match="longer than"):
        Git(slow).run(["version"], doing="x", timeout=0.3)
    child = int((tmp_path / "pid").read_text())
    time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text()

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Git(slow, poll=stop).run(["version"], doing="x")
