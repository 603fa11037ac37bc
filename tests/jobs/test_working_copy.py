"""A working copy's changes: what is taken, what is refused, and that nothing of it is executed."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahstore.errors import AhError, InvalidInputError, RunFailedError
from ahstore.ids import CommitId
from ahstore.jobs.code import working_copy
from ahstore.jobs.code.git import Git
from ahstore.jobs.code.git_source import GitSource, parse_git_source
from ahstore.jobs.code.laying_out import lay_out
from ahstore.jobs.code.secret_signs import find_secret, is_secret_file, is_secret_variable
from ahstore.jobs.code.working_copy import Changes, find_working_copy, has_changes, take_changes
from ahstore.jobs.spec import CodeChanges, CodeVersion
from tests.jobs.repositories import commit, git, make_repository

BASE = {"train.py": "print(1)\n", "gone.py": "x\n", "sub/a.txt": "a\n" * 50, "run.sh": "echo\n"}
KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"  # in two, so that no scanner takes this file for one


@pytest.fixture
def caller(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    make_repository(tmp_path / "work", BASE)
    return tmp_path / "work"


def source_of(top: Path) -> GitSource:
    return parse_git_source(str(top), base="/")


def take(top: Path, caller: dict[str, str], revision: str = "HEAD") -> Changes | None:
    tool = Git(caller)
    with tool.mirror(source_of(top)) as mirror:
        return take_changes(tool, mirror, str(top), mirror.resolve(revision))


def looks_changed(top: Path, caller: dict[str, str]) -> bool:
    tool = Git(caller)
    with tool.mirror(source_of(top)) as mirror:
        return has_changes(tool, mirror, str(top), mirror.resolve("HEAD"))


def lay(top: Path, caller: dict[str, str], changes: Changes, *, patch: bytes | None = None) -> Path:
    """Lay the code out as a run does, and return its folder."""
    folder = top.parent / "out"
    shutil.rmtree(folder, ignore_errors=True)
    held = CodeChanges(CommitId(bytes(32)), changes.tree, changes.files, len(changes.patch))
    code = CodeVersion(str(top), "HEAD", git(top, "rev-parse", "HEAD"), ".", held)
    lay_out(Git(caller), source_of(top), code, str(folder), patch=patch or changes.patch)
    return folder


def listing(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Return what is in a working copy by path: its kind with the executable bit, and its bytes."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] == ".git":
            continue
        if path.is_symlink():
            found[name] = ("link", os.fsencode(os.readlink(path)))
        elif path.is_file():
            found[name] = (f"file {os.stat(path).st_mode & 0o100}", path.read_bytes())
    return found


def change_much(top: Path) -> None:
    (top / "train.py").write_text("print(2)\n")
    (top / "gone.py").unlink()
    (top / "run.sh").chmod(0o755)
    (top / "new").mkdir()
    (top / "new" / "helper.py").write_text("X = 1")
    (top / "weights.bin").write_bytes(bytes(range(256)) * 40)
    (top / "crlf.txt").write_bytes(b"a\r\nb\r\n")
    (top / "link").symlink_to("/nowhere/at all")
    (top / "sub" / "a.txt").unlink()
    (top / "sub" / "a.txt").symlink_to("../train.py")
    (top / "empty").write_bytes(b"")


def test_a_checkout_with_the_changes_is_the_working_copy(top: Path, caller: dict[str, str]) -> None:
    change_much(top)
    git(top, "add", "new")  # what is staged counts like what is not
    assert looks_changed(top, caller)
    changes = take(top, caller)
    assert changes is not None
    assert (changes.files, changes.left_out) == (9, ())
    out = lay(top, caller, changes)
    assert listing(out) == listing(top)
    assert git(out, "rev-parse", "HEAD") == git(top, "rev-parse", "HEAD")
    assert git(out, "status", "--porcelain", "--untracked-files=all").count("\n") == 8
    assert git(out, "write-tree") == changes.tree


NAMES = st.sampled_from(["a", "b c", "d/e", "d/f", "d/g/h", "ünï", "-x", 'q"\\t', "line\nend"])
CONTENTS = st.one_of(
    st.binary(max_size=200), st.text("ab\r\n \t\0", max_size=40).map(lambda text: text.encode())
)
EDIT = st.tuples(st.sampled_from(["write", "link", "delete", "mode"]), NAMES, CONTENTS)


def edit(top: Path, what: str, name: str, data: bytes) -> None:
    path = top / name
    if any((top / parent).is_symlink() or (top / parent).is_file() for parent in _parents(name)):
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    if what in ("write", "link"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    if what == "write":
        path.write_bytes(data)
    elif what == "link":
        path.symlink_to(f"t{len(data)}")
    elif what == "delete":
        path.unlink(missing_ok=True)
    elif path.is_file() and not path.is_symlink():
        path.chmod(0o755 if len(data) % 2 else 0o644)


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(committed=st.lists(EDIT, max_size=8), changed=st.lists(EDIT, max_size=8))
def test_whatever_was_edited(
    committed: list[tuple[str, str, bytes]],
    changed: list[tuple[str, str, bytes]],
    tmp_path: Path,
    caller: dict[str, str],
) -> None:
    # A run whose code differs from what its record names makes every number of it a lie.
    top = tmp_path / "work"
    shutil.rmtree(top, ignore_errors=True)
    make_repository(top, {"train.py": ""})
    for each in committed:
        edit(top, *each)
    git(top, "add", "-A")
    git(top, "commit", "-q", "--allow-empty", "-m", "x")
    for each in changed:
        edit(top, *each)
    clean = git(top, "status", "--porcelain") == ""
    changes = take(top, caller)
    assert looks_changed(top, caller) is not clean
    assert (changes is None) is clean
    if changes is not None:
        assert listing(lay(top, caller, changes)) == listing(top)


def test_the_working_copy_and_its_repository_stay_as_they_are(
    top: Path, caller: dict[str, str], tmp_path: Path
) -> None:
    change_much(top)
    shutil.copytree(top, tmp_path / "before", symlinks=True)
    take(top, caller)
    looks_changed(top, caller)
    shown = filecmp.dircmp(tmp_path / "before" / ".git", top / ".git")
    assert shown.left_only + shown.right_only + shown.diff_files == []
    assert listing(tmp_path / "before") == listing(top)


def test_what_is_ignored_is_not_taken(top: Path, caller: dict[str, str]) -> None:
    (top / ".gitignore").write_text("*.log\ndata/\n")
    (top / ".git" / "info").mkdir(exist_ok=True)
    (top / ".git" / "info" / "exclude").write_text("mine\n")
    ignored = Path(caller["HOME"], "ignored")
    ignored.write_text("*.swp\n")
    Path(caller["HOME"], ".gitconfig").write_text("[core]\n\texcludesFile = ~/ignored\n")
    (top / "data").mkdir()
    for name in ("x.log", "data/x", "mine", "sub/y.swp", "taken"):
        (top / name).write_text("x")
    changes = take(top, caller)
    assert changes is not None
    assert set(listing(lay(top, caller, changes))) == {*BASE, ".gitignore", "taken"}


def test_nothing_to_take(top: Path, caller: dict[str, str]) -> None:
    os.utime(top / "train.py")  # another time is no change
    assert not looks_changed(top, caller)
    assert take(top, caller) is None


def test_a_linked_worktree(top: Path, caller: dict[str, str]) -> None:
    git(top, "worktree", "add", "-q", "../linked", "-b", "side")
    linked = top.parent / "linked"
    commit(linked, {"side.py": "s"})
    (linked / "train.py").write_text("changed\n")
    changes = take(linked, caller)
    assert changes is not None
    assert changes.files == 1
    assert listing(lay(linked, caller, changes)) == listing(linked)
    assert not looks_changed(top, caller)


def test_line_ends_as_the_user_has_them(top: Path, caller: dict[str, str]) -> None:
    git(top, "config", "core.autocrlf", "true")
    for name in BASE:
        (top / name).write_bytes((top / name).read_bytes().replace(b"\n", b"\r\n"))
    git(top, "add", "-u")
    assert git(top, "status", "--porcelain") == ""
    assert not looks_changed(top, caller)


# Hostile working copies.


def hostile(top: Path, canary: Path) -> None:
    """Have everything that git can be told to run make the canary."""
    script = top.parent / "evil"
    script.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    script.chmod(0o755)
    for key in (
        "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "core.fsmonitor",
        "diff.external", "diff.evil.command", "diff.evil.textconv", "merge.evil.driver",
        "core.sshCommand", "core.askPass", "core.editor", "core.pager", "credential.helper",
        "uploadpack.packObjectsHook", "core.alternateRefsCommand", "alias.status",
    ):  # fmt: skip
        git(top, "config", key, str(script))
    git(top, "config", "filter.evil.required", "true")
    (top / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    hooks = top / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "pre-commit", "post-checkout", "fsmonitor-watchman"):
        shutil.copy(script, hooks / name)
    git(top, "config", "core.hooksPath", str(hooks))


def test_nothing_of_the_repository_is_executed(
    top: Path, caller: dict[str, str], tmp_path: Path
) -> None:
    # A downloaded project is looked at before it is trusted: looking must not run it.
    canary = tmp_path / "canary"
    # A submodule too: git would look into its repository.
    inner = make_repository(top / "module", {"m": "m"})
    git(top, "update-index", "--add", "--cacheinfo", f"160000,{inner},module")
    git(top, "commit", "-q", "-m", "module")
    change_much(top)
    (top / "module" / "m").write_text("changed")
    hostile(top / "module", canary)
    hostile(top, canary)
    canary.unlink(missing_ok=True)
    assert looks_changed(top, caller)
    changes = take(top, caller)
    assert changes is not None
    out = lay(top, caller, changes)
    assert not canary.exists()
    assert "module/m" not in listing(out)
    assert listing(out)["train.py"] == listing(top)["train.py"]


def test_filters_of_the_user_do_not_run_either(top: Path, caller: dict[str, str]) -> None:
    canary = top.parent / "canary"
    Path(caller["HOME"], ".gitconfig").write_text(f'[filter "x"]\n\tclean = touch {canary}; cat\n')
    (top / ".gitattributes").write_text("* filter=x\n")
    (top / "train.py").write_text("print(2)\n")
    assert take(top, caller) is not None
    assert not canary.exists()


def test_files_of_lfs_that_are_as_committed_are_not_taken(
    top: Path, caller: dict[str, str]
) -> None:
    large = b"large" * 1000
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
    text = pointer.format(hashlib.sha256(large).hexdigest(), len(large))
    commit(top, {"w.bin": text, "v.bin": text, ".gitattributes": "*.bin filter=lfs -text\n"})
    (top / "w.bin").write_bytes(large)
    (top / "v.bin").write_bytes(large + b"changed")
    changes = take(top, caller)
    assert changes is not None
    assert changes.files == 1
    out = listing(lay(top, caller, changes))
    assert out["v.bin"][1] == large + b"changed"
    assert out["w.bin"][1] == text.encode()


def test_links_are_not_followed(top: Path, caller: dict[str, str], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("s3cret of another folder")
    shutil.rmtree(top / "sub")
    (top / "sub").symlink_to(outside)
    (top / "train.py").unlink()
    (top / "train.py").symlink_to(outside / "a.txt")
    changes = take(top, caller)
    assert changes is not None
    assert b"s3cret" not in changes.patch
    assert listing(lay(top, caller, changes))["sub"] == ("link", os.fsencode(outside))


def test_other_repositories_in_it_are_left_alone(top: Path, caller: dict[str, str]) -> None:
    make_repository(top / "other", {"o": "o"})
    assert not looks_changed(top, caller)
    (top / "x").write_text("x")
    changes = take(top, caller)
    assert changes is not None
    assert changes.files == 1


def test_a_queue_in_place_of_a_file(top: Path, caller: dict[str, str]) -> None:
    (top / "train.py").unlink()
    os.mkfifo(top / "train.py")
    with pytest.raises(InvalidInputError, match="neither a file nor a link"):
        take(top, caller)


# Refusals.


def test_only_with_the_commit_that_is_checked_out(top: Path, caller: dict[str, str]) -> None:
    commit(top, {"train.py": "2"})
    (top / "train.py").write_text("3")
    with pytest.raises(InvalidInputError, match="checked out"):
        take(top, caller, "HEAD~1")
    tool = Git(caller)
    with tool.mirror(source_of(top)) as mirror:
        assert not has_changes(tool, mirror, str(top), mirror.resolve("HEAD~1"))


def test_too_much(top: Path, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (top / f"w{number}").write_bytes(os.urandom(1000 * (number + 1)))
    monkeypatch.setattr(working_copy, "MAX_CHANGED_BYTES", 5999)
    with pytest.raises(InvalidInputError, match=r"3 files of .*largest: w2 "):
        take(top, caller)
    monkeypatch.setattr(working_copy, "MAX_CHANGED_BYTES", 6000)
    assert take(top, caller) is not None
    monkeypatch.setattr(working_copy, "MAX_CHANGED_FILES", 2)
    with pytest.raises(InvalidInputError, match="more than"):
        take(top, caller)
    monkeypatch.setattr(working_copy, "MAX_CHANGED_FILES", 3)
    monkeypatch.setattr(working_copy, "MAX_PATCH_BYTES", 6000)
    with pytest.raises(InvalidInputError, match="patch"):
        take(top, caller)


@pytest.mark.parametrize("data", [KEY.encode(), b"\0\1" + KEY.encode() + b"\xff\0"])
def test_a_secret_inside_is_refused(data: bytes, top: Path, caller: dict[str, str]) -> None:
    # What is once in a store is copied, exported and read by all who use it.
    (top / "innocent").write_bytes(data)
    with pytest.raises(InvalidInputError, match="a private key"):
        take(top, caller)


def test_files_named_after_secrets_are_left_out(top: Path, caller: dict[str, str]) -> None:
    commit(top, {"credentials.json": "{}", "old.pem": "x"})
    names = [".env", "conf/.env.local", "id_rsa", ".aws/config", "secrets.yaml", "server.pem"]
    for name in names:
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text("c4n4ry")
    (top / "credentials.json").write_text('{"c4n4ry": 1}')
    (top / "old.pem").unlink()
    (top / ".env.example").write_text("NAME=")
    changes = take(top, caller)
    assert changes is not None
    assert set(changes.left_out) == {*names, "credentials.json", "old.pem"}
    assert b"c4n4ry" not in changes.patch
    out = listing(lay(top, caller, changes))
    assert set(out) == {*BASE, "credentials.json", "old.pem", ".env.example"}
    assert out["credentials.json"][1] == b"{}"


def test_what_has_no_working_copy(top: Path) -> None:
    git(top, "clone", "-q", "--bare", ".", "../bare")
    assert find_working_copy(source_of(top.parent / "bare")) is None
    assert find_working_copy(source_of(top)) == str(top)
    assert find_working_copy(source_of(top / ".git")) == str(top)
    assert find_working_copy(GitSource("https://h/r", is_local=False)) is None


# Patches that are not what was recorded.

HOSTILE_PATCHES = {
    "up": "diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n",
    "absolute": "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ /tmp/x\n@@ -0,0 +1 @@\n+x\n",
    "git": "diff --git a/.git/hooks/x b/.git/hooks/x\nnew file mode 100755\n--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+x\n",
    "GIT": "diff --git a/.GIT/config b/.GIT/config\nnew file mode 100644\n--- /dev/null\n+++ b/.GIT/config\n@@ -0,0 +1 @@\n+x\n",
    "other": "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n",
    "garbage": "not a patch",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_PATCHES)
def test_a_patch_of_someone_else(name: str, top: Path, caller: dict[str, str]) -> None:
    # A store that came from elsewhere: what its patches say must stay in the checkout, and be true.
    (top / "train.py").write_text("print(2)\n")
    changes = take(top, caller)
    assert changes is not None
    before = listing(top.parent)
    with pytest.raises((RunFailedError, AhError)):
        lay(top, caller, changes, patch=HOSTILE_PATCHES[name].encode())
    out = top.parent / "out"
    assert listing(out) == _committed(top)
    assert not (out / ".git" / "hooks").exists()
    after = {name: each for name, each in listing(top.parent).items() if name[:4] != "out/"}
    assert after == before


def _committed(top: Path) -> dict[str, tuple[str, bytes]]:
    folder = top.parent / "committed"
    git(top, "clone", "-q", ".", str(folder))
    found = listing(folder)
    shutil.rmtree(folder)
    return found


# Signs.


@pytest.mark.parametrize(
    "name", [".env", "a/.ENV.prod", "x.pem", "a/b/id_ed25519.bak", ".ssh/config", "secrets/a.json",
             "my-credentials.json", ".docker/config.json", "deploy.tfvars", "token.txt"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_file(name)


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "secrets.py", "keys.py", ".env.example", "id_rsa.pub", "environment.yml",
             "credentials/README.md", ".docker/Dockerfile", "monkey.txt", "train.sh", "pem.txt"],
)  # fmt: skip
def test_names_of_other_files(name: str) -> None:
    assert not is_secret_file(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("API_KEY", "x"), ("MY_PASSWORD", "x"), ("HF_TOKEN", "x"), ("DB_PWD", "x"), ("AUTH", "x"),
     ("URL", "postgres://u:hunter22@db/x"), ("X", "AKIA" + "ABCDEFGH23456789"), ("OPENAI_KEY", "x")],
)  # fmt: skip
def test_variables_of_secrets(name: str, value: str) -> None:
    assert is_secret_variable(name, value)


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "KEYBOARD", "MONKEY", "MODE", "PATHS", "LR"])
def test_other_variables(name: str) -> None:
    assert not is_secret_variable(name, "https://example.org/a@b")


def test_text_without_secrets() -> None:
    assert find_secret(b"url = 'https://{user}:{password}@host'  # ssh://git@host/x") is None
