"""Secrets of the caller are found nowhere: not in the run, its logs, the store or the metadata."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from ahstore.ids import RunId, new_entity_id
from ahstore.jobs.code.git_source import GitSource, secrets_of
from ahstore.jobs.environment import run_environment
from ahstore.jobs.logs import LogReader, LogWriter
from ahstore.jobs.running import spawn
from tests.jobs.conftest import House

CANARY = "c4n4ry-s3cret"
NAMES = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GITHUB_TOKEN",
    "HF_TOKEN",
    "WANDB_API_KEY",
    "SSH_AUTH_SOCK",
    "GIT_ASKPASS",
    "MY_PASSWORD",
    "AH_STORE_SECRET",
    "PYTHONPATH",
    "LD_PRELOAD_X",
]
PRINTING = """
import os, subprocess
from pathlib import Path
print(dict(os.environ))
print(subprocess.run(["env"], capture_output=True, text=True).stdout)
print("home:", list(Path.home().iterdir()))
Path(os.environ["AH_OUTPUT_DIR"], "env").write_text(repr(dict(os.environ)))
{}
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(1)"])
def test_a_run_that_prints_its_environment(
    end: str, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, f"/{CANARY}")
    monkeypatch.setenv("https_proxy", f"http://user:{CANARY}@proxy:3128")
    run = house.train(PRINTING.format(end))
    done = house.wait(run)
    assert done.status == ("Failed" if end else "Succeeded"), done.reason
    log = house.log(run)
    assert "AH_RUN_ID" in log
    assert "home: []" in log
    assert canaries(house) == []
    assert CANARY not in log + repr(done)
    if done.commit is not None:
        assert all(CANARY.encode() not in data for data in house.files(done.commit).values())


def test_the_password_of_a_repository_is_recorded_nowhere(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A record is read by everyone who can read the store, and outlives the password's change.
    code = house.make_code({"train.py": PRINTING.format("")})
    home, bin_folder = house.root / "home", house.root / "bin"
    home.mkdir()
    bin_folder.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "{code}"]\n\tinsteadOf = https://git.example.org/code\n'
    )
    # A git that checks for the secret where it belongs, and then does without it.
    wrapper = bin_folder / "git"
    wrapper.write_text(
        f"""#!/bin/sh
case "$*" in *{CANARY}*) echo leak >> {house.root}/leaks;; esac
case "$*" in *git.example.org*) case "$GIT_CONFIG_KEY_0" in *{CANARY}*) ;; *) exit 9;; esac;; esac
unset GIT_CONFIG_COUNT
exec {shutil.which("git")} "$@"
"""
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    run = house.train(git_repo=f"https://user:{CANARY}@git.example.org/code")
    done = house.wait(run)
    assert done.status == "Succeeded", done.reason
    assert done.spec.code.repo == "https://git.example.org/code"
    assert not (house.root / "leaks").exists()
    assert CANARY not in house.log(run) + repr(done)
    assert canaries(house) == []


def canaries(house: House) -> list[Path]:
    house.until_cleared()
    return [
        path
        for folder in ("store", "runs", "cache")
        for path in (house.root / folder).rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]


def test_orders_show_no_secret() -> None:
    orders = spawn.Orders("file:///s", None, "user", "m", f"https://u:{CANARY}@h/r")
    assert CANARY not in repr(orders)
    assert spawn.Orders.from_json(orders.to_json()) == orders


def test_the_log_blots_out_secrets(house: House) -> None:
    source = GitSource("https://h/r", is_local=False, secret_url=f"https://u:{CANARY}@h/r")
    run = RunId(new_entity_id())
    log = LogWriter(house.repo.storage, run, secrets=secrets_of(source))
    for part in (f"a {CANARY[:5]}", f"{CANARY[5:]} b\n", f"c {source.secret_url} d"):
        log.write(part.encode())
    log.note(f"note {CANARY}")
    log.close()
    lines = list(LogReader(house.repo.storage, run).new_lines())
    assert lines == ["a *** b", "c *** d", "[ahstore] note ***"]


def test_what_a_run_may_see_of_its_caller() -> None:
    caller = {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "CUDA_VISIBLE_DEVICES": "1",
        "http_proxy": "http://proxy:3128",
        "HTTPS_PROXY": f"http://u:{CANARY}@proxy",
        "HOME": "/home/user",
        "SECRET": CANARY,
    }
    seen = run_environment(
        caller, home="/h", tmp="/t", programs="/p", packages=["/q"], variables={"AH_RUN_ID": "x"}
    )
    assert (seen["HOME"], seen["TMPDIR"], seen["AH_RUN_ID"]) == ("/h", "/t", "x")
    assert {"LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "http_proxy"} <= set(seen)
    assert CANARY not in repr(seen)
    assert seen["PYTHONPATH"] == "/q"
    assert seen["PATH"].split(os.pathsep) == ["/p", os.path.dirname(sys.executable), "/bin"]
