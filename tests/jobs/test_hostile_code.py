"""Hostile repositories, revisions and subpaths (X1): whatever is given to a run as its code, no command
of the giver's runs but the run's own, and nothing outside the run's folders is touched.

The parts are tested in test_git.py and test_git_source.py; here all goes the way of a real run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ahstore.errors import AhError
from ahstore.jobs.records import RunRecord
from ahstore.versions.adding.commits import commit_tree
from tests.jobs.conftest import House
from tests.jobs.repositories import commit, git

TRAIN = "import os; open(os.environ['AH_OUTPUT_DIR'] + '/model', 'w').write('m')"
GIVEN = ("store", "runs", "cache", "code1")


class Outside:
    """What lies outside of the run's folders, and the canary that hostile code would make."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self.canary = house.root / "canary"
        home = house.root / "home"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "id").write_text("key")
        (home / "precious").write_text("mine")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.chdir(home)
        self.before = self.content()

    def content(self) -> dict[str, str]:
        root = self.house.root
        return {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            # Not into the given ones at all: a run that has ended clears up its folder.
            for top in sorted(root.iterdir())
            if top.name not in GIVEN
            for path in (sorted(top.rglob("*")) if top.is_dir() else [top])
            if path.is_file()
        }

    def is_untouched(self) -> None:
        assert not self.canary.exists()
        assert self.content() == self.before


@pytest.fixture
def outside(house: House, monkeypatch: pytest.MonkeyPatch) -> Outside:
    house.make_code({"train.py": TRAIN, "sub/train.py": TRAIN})
    return Outside(house, monkeypatch)


def start(house: House, **options: str) -> RunRecord | None:
    """Start a training; None if it is refused at once."""
    try:
        return house.wait(house.train(timeout=60, **options))
    except AhError:
        return None


URLS = [
    "ext::sh -c 'touch CANARY'", "ext::sh -c touch% CANARY", "--upload-pack=touch CANARY",
    "-u touch CANARY", "ssh://-oProxyCommand=touch%20CANARY/x", "fd::17/foo",
    "user@-oProxyCommand=touch CANARY:x", "file:///tmp/x;touch CANARY", "$(touch CANARY)",
    "https://example.invalid/$(touch CANARY)", "git://127.0.0.1:1/x", "http://127.0.0.1:1/x",
    "transport::address", "/dev/stdin", "file://remote.example.org/etc", "\0", "../home", "~/.ssh",
]  # fmt: skip
REVISIONS = [
    "--upload-pack=touch CANARY", "--output=CANARY", "-oCANARY", "--exec=touch CANARY",
    "master;touch CANARY", "$(touch CANARY)", "`touch CANARY`", "master\ntouch CANARY", "@{-1}",
    ":/train", "master:train.py", "^{/x}", "refs/heads/../../config", "\0", "",
]  # fmt: skip
SUBPATHS = [
    "../home", "sub/../../home", "/etc", "..", "sub/..", "--help", "-s", "sub\0x", "sub\nx",
    "$(touch CANARY)", "sub;touch CANARY", ".git", ".git/hooks", "~", "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "values"),
    [("git_repo", URLS), ("git_revision", REVISIONS), ("git_subpath", SUBPATHS)],
)
def test_hostile_arguments(option: str, values: list[str], house: House, outside: Outside) -> None:
    for value in values:
        done = start(house, **{option: value.replace("CANARY", str(outside.canary))})
        assert done is None or done.status == "Failed", (value, done)
        outside.is_untouched()
    assert house.head("b") is None


def submodule(house: House, canary: Path) -> None:
    (house.code / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch {canary}"\n\tupdate = !touch {canary}\n'
    )
    git(house.code, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")


def configuration(house: House, canary: Path) -> None:
    evil = script(house, canary)
    for key in ("core.fsmonitor", "uploadpack.packObjectsHook", "core.sshCommand", "core.pager",
                "filter.evil.smudge", "filter.evil.process", "diff.external", "core.hooksPath",
                "alias.rev-parse", "credential.helper", "init.templateDir"):  # fmt: skip
        git(house.code, "config", key, str(evil))
    (house.code / ".gitattributes").write_text("* filter=evil diff=evil\n")


def hooks(house: House, canary: Path) -> None:
    evil = script(house, canary).read_text()
    for name in ("post-checkout", "pre-receive", "post-update", "reference-transaction"):
        hook = house.code / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(evil)
        hook.chmod(0o755)


def script(house: House, canary: Path) -> Path:
    evil = house.code / ".git" / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    evil.chmod(0o755)
    return evil


def link_out(house: House, canary: Path) -> None:
    (house.code / "out").symlink_to(house.root / "home")
    (house.code / "train.py").unlink()
    (house.code / "train.py").symlink_to(house.root / "home" / "precious")


def link_then_file(house: House, _: Path) -> None:
    # A tree with a link and, by an alias of its name, a file below it (CVE-2021-21300's kind).
    (house.code / "A").symlink_to(house.root / "home")
    (house.code / "a").mkdir()
    (house.code / "a" / "precious").write_text("overwritten")


def nested_git(house: House, canary: Path) -> None:
    for guard in ("core.protectNTFS", "core.protectHFS"):
        git(house.code, "config", guard, "false")
    (house.code / "GIT~1").mkdir()
    (house.code / "GIT~1" / "config").write_text(f"[core]\n\tfsmonitor = touch {canary}\n")
    (house.code / "sub" / ".git ").mkdir()
    (house.code / "sub" / ".git " / "config").write_text(f"[core]\n\tfsmonitor = touch {canary}\n")


def worktree(house: House, _: Path) -> None:
    git(house.code, "config", "core.worktree", str(house.root / "home"))


def alternates(house: House, _: Path) -> None:
    info = house.code / ".git" / "objects" / "info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_text("/etc\n../../../../home\n")


REPOSITORIES: list[Callable[[House, Path], None]] = [
    submodule, configuration, hooks, link_out, link_then_file, nested_git, worktree, alternates,
]  # fmt: skip


@pytest.mark.parametrize("make", REPOSITORIES, ids=lambda make: make.__name__)
def test_hostile_repositories(
    make: Callable[[House, Path], None], house: House, outside: Outside
) -> None:
    make(house, outside.canary)
    if make not in (worktree, hooks, alternates):
        commit(house.code, {"note": make.__name__})
        outside.canary.unlink(missing_ok=True)  # where the git of this test fell for it
    for subpath in (".", "out"):
        done = start(house, git_subpath=subpath)
        assert done is None or done.is_over
        outside.is_untouched()


def test_a_hostile_metadata_is_no_way_in(house: House, outside: Outside) -> None:
    # A rerun takes its code from a file in a commit, which anyone may have written.
    done = house.wait(house.train())
    assert done.commit is not None
    document = json.loads(house.files(done.commit)["asset-hub.metadata"])
    canary = str(outside.canary)
    for change in (
        {"repo": f"ext::sh -c 'touch {canary}'"}, {"repo": "--upload-pack=touch " + canary},
        {"commit": "--output=" + canary}, {"commit": f"$(touch {canary})"},
        {"subpath": "../../home"}, {"subpath": "/etc"}, {"revision": "--output=" + canary},
    ):  # fmt: skip
        lie = {**document, "code": {**document["code"], **change}}
        made = commit_tree(
            house.repo, house.model.id, "b", message="lie", committer="eve", add=[],
            extra={"asset-hub.metadata": json.dumps(lie).encode()}, base=done.commit,
            metadata={"run": done.id, "run_name": done.name},
        )  # fmt: skip
        assert made is not None
        try:
            run = house.wait(house.jobs.rerun(house.model, made.commit.hex()))
        except AhError:
            pass
        else:  # a revision is only words there: the commit counts
            assert "revision" in change or run.status == "Failed", (change, run)
        outside.is_untouched()
