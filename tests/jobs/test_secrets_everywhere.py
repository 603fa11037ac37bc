"""Canary secrets everywhere, DEBUG on (S1): found in no store, log, record, file or output.

A store in a bucket, whose key is one of the secrets, and a repository whose URL has a password in
it; everything a user does with runs, in processes that log all that the libraries say.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ahstore.hub.hub import Hub
from ahstore.jobs.records import RunRecords
from ahstore.storage.process import ProcessIdentity
from ahstore.testing.s3_servers import S3Server
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import open_object
from tests.jobs.repositories import make_repository

ROOT = Path(__file__).parents[2]
CANARY = "c4n4ry-s3cret"
PRINTING = """
import json, os, subprocess, sys
from pathlib import Path
print(dict(os.environ))
print(subprocess.run(["env"], capture_output=True, text=True).stdout)
print(subprocess.run(["git", "config", "--list"], capture_output=True, text=True).stdout)
for place in ("/proc/self/environ", "/proc/self/cmdline"):
    print(Path(place).read_bytes())
out = Path(os.environ.get("AH_OUTPUT_DIR") or os.environ["AH_RESULTS_DIR"])
(out / "metric.json").write_text(json.dumps({"accuracy": 0.5, "env": " ".join(os.environ.values())}))
sys.exit("fail" in json.loads(os.environ["AH_PARAMS"]))
"""
DRIVE = """
import json, sys
from ahstore.cli.main import main
for command in json.loads(sys.argv[1]):
    print(">>>", command[:2], flush=True)
    code = main(command)
    sys.stdout.flush()
    print("<<<", code, flush=True)
"""
LOUD = """
import logging, os
logging.basicConfig(level=logging.DEBUG, filename=os.environ["LOUD_LOG"])
"""


class Traveller:
    """A user with secrets in his environment, who uses a store in a bucket."""

    def __init__(self, root: Path, url: str, server: S3Server) -> None:
        self.root, self.url = root, url
        self.secrets = [CANARY, server.secret_key]
        self.log = root / "loud.log"
        (root / "loud").mkdir()
        (root / "loud" / "sitecustomize.py").write_text(LOUD)
        make_repository(root / "code", {"train.py": PRINTING, "evaluate.py": PRINTING})
        home = root / "home"
        home.mkdir()
        (home / ".gitconfig").write_text(
            f'[url "{root}/code"]\n\tinsteadOf = https://git.example.org/code\n'
        )
        self._hide_secret_url(root / "bin")
        data = root / "data"
        data.mkdir()
        (data / "labels").write_text("labels")
        path = os.pathsep.join([str(root / "loud"), str(ROOT), *filter(None, sys.path)])
        self.environment = {
            **server.environment(),
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "PYTHONPATH": path,
            "LOUD_LOG": str(self.log),
            "AH_STORE": url,
            "XDG_STATE_HOME": str(root / "state"),
            "AH_USER": "user",
            "https_proxy": f"http://user:{CANARY}@proxy.example.org:3128",
            **dict.fromkeys(("HF_TOKEN", "GITHUB_TOKEN", "WANDB_API_KEY", "MY_PASSWORD", "SSH_AUTH_SOCK", "GIT_ASKPASS", "AH_API_KEY"), f"/{CANARY}"),
        }  # fmt: skip

    def _hide_secret_url(self, folder: Path) -> None:
        """Make a git that does without the rule which brings the password in: nobody asks for it."""
        folder.mkdir()
        (folder / "git").write_text(
            f'#!/bin/sh\nunset GIT_CONFIG_COUNT\nexec {shutil.which("git")} "$@"\n'
        )
        (folder / "git").chmod(0o755)

    def do(self, *commands: list[str]) -> str:
        done = subprocess.run(
            [sys.executable, "-c", DRIVE, json.dumps(commands)],
            env=self.environment, cwd=self.root, text=True, timeout=240, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def supervisors(self) -> list[ProcessIdentity]:
        with closing(Repository.open(self.url)) as repo:
            return [record.supervisor for record in RunRecords(repo).all()]

    def found_on_disk(self) -> list[str]:
        until_over(self.supervisors())
        return [
            str(path)
            for path in self.root.rglob("*")
            if path.is_file()
            and path != self.root / "loud.log"
            and any(secret.encode() in path.read_bytes() for secret in self.secrets)
        ]

    def stored(self) -> Iterator[tuple[str, bytes]]:
        """Yield everything in the store: its files as they are, and what they unpack to."""
        with closing(Repository.open(self.url)) as repo:
            for key in repo.storage.list(""):
                yield key, repo.storage.read(key)
            hub, records = Hub(repo, "user"), RunRecords(repo)
            for record in records.all():
                yield record.name, repr(record).encode()
                for evaluation in hub.list_evaluations(record.spec.model):
                    yield evaluation.id, repr(evaluation).encode()
            for record in records.all():
                for ref in Refs(repo).list(record.spec.model):
                    yield ref.name, repr(repo.read_commit(ref.commit)).encode()
                    for row in repo.files(ref.commit).scan():
                        with open_object(repo, ref.commit, row[0]) as file:
                            yield row[0], file.read()


def until_over(supervisors: list[ProcessIdentity]) -> None:
    """Wait until they have cleared up and ended."""
    deadline = time.monotonic() + 60
    while any(supervisor.is_alive() for supervisor in supervisors):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def traveller(tmp_path: Path, s3_url: str, s3_environment: S3Server) -> Traveller:
    return Traveller(tmp_path, s3_url, s3_environment)


def test_secrets_are_found_nowhere(traveller: Traveller) -> None:
    code = [
        "-d", "f/d", "-v", "16Mi", "-i", "master",
        "-r", f"https://user:{CANARY}@git.example.org/code", "--wait",
    ]  # fmt: skip
    said = traveller.do(
        ["create", "folder", "model/f"], ["create", "folder", "dataset/f"],
        ["create", "model", "f/m"], ["create", "dataset", "f/d"],
        ["commit", "dataset/f/d", "-m", "data", "-a", "data/*"],
        ["train", "f/m", "-b", "b", *code],
        ["train", "f/m", "-b", "c", *code, "-p", "fail=1"],
        ["evaluate", "f/m:b", *code],
        ["ls", "workflow", "f/m"], ["ls", "workflow", "f/m", "--json"],
        ["ls", "evaluation", "f/m", "--json"], ["compare", "f/m", "--html"],
        ["why", "f/m:b"], ["lineage", "f/m:b", "--json"], ["cat", "f/m:b", "asset-hub.metadata"],
        ["info"], ["whoami", "--json"], ["fsck"], ["ls", "object", "f/none:b"],
        ["train", "f/m", "-b", "b", *code[:-3], f"https://u:{CANARY}@git.example.org/gone"],
    )  # fmt: skip
    runs = json.loads(said.split(">>> ['ls', 'workflow']")[2].split("<<<")[0])
    assert sorted(run["status"] for run in runs) == ["Failed", "Succeeded", "Succeeded"]
    said += traveller.do(
        *(["logs", run["name"]] for run in runs),
        *(["show", "workflow", run["name"], "--json"] for run in runs),
    )
    assert said.count("AH_RUN_ID") >= 3
    # Every library was loud, in the supervisors too, or this proves nothing.
    heard = traveller.log.read_text(errors="replace")
    assert "botocore" in heard
    assert len(heard) > 10_000
    for secret in traveller.secrets:
        assert secret not in said
        assert secret not in heard
    assert traveller.found_on_disk() == []
    places = [name for name, data in traveller.stored() if CANARY.encode() in data]
    places += [n for n, data in traveller.stored() if traveller.secrets[1].encode() in data]
    assert places == []
