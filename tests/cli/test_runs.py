"""Training and evaluation from the command line, with code of a local git repository."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Ah

TRAIN = """
import os, pathlib
print("training with", os.environ["AH_PARAMS"])
data = pathlib.Path(os.environ["AH_DATASET_DIR"], "a.txt").read_bytes()
pathlib.Path(os.environ["AH_OUTPUT_DIR"], "model_state_dict.pt").write_bytes(data * 10)
"""
EVALUATE = """
import os, pathlib
metric = '{"loss": 1.473171865940094, "accuracy": 0.9883}'
pathlib.Path(os.environ["AH_RESULTS_DIR"], "metric.json").write_text(metric)
"""
FAIL = "import sys; print('before'); sys.exit('no \\x1b[31mluck')"


@pytest.fixture
def repo(home: Path) -> Path:
    folder = home / "repo"
    for name, files in (
        ("mnist", {"train.py": TRAIN, "evaluate.py": EVALUATE}),
        ("bad", {"train.py": FAIL, "evaluate.py": "import time; time.sleep(600)"}),
        ("idle", {"train.py": "pass"}),
    ):
        (folder / name).mkdir(parents=True)
        for file, text in files.items():
            (folder / name / file).write_text(text)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q", "-b", "master"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    return folder


def arguments(repo: Path, subpath: str) -> list[str]:
    return [
        "-d", "img/digits", "-v", "100Mi", "-r", str(repo), "-i", "master", "-s", subpath,
    ]  # fmt: skip


def until_running(ah: Ah, name: str) -> None:
    deadline = time.monotonic() + 30
    while json.loads(ah("show", "workflow", name, "--json").out)["status"] == "Pending":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_train_continue_and_evaluate(digits: Ah, repo: Path) -> None:
    started = digits("train", "img/net", "-b", "epoch-5", *arguments(repo, "mnist"), "-p", "lr=0.1")
    assert (started.code, started.out) == (0, "")
    assert started.err == (
        f"AH INFO: Training with codes {repo} and dataset digits\n"
        "AH INFO: Generated model files will be saved to branch epoch-5 of Model net\n"
    )
    lines = digits("ls", "workflow", "img/net").lines
    assert [line.split()[0] for line in lines] == [
        "ID:", "TYPE:", "NAME:", "GIT_REPO:", "GIT_REVISION:", "GIT_SUBPATH:", "DATASET:",
        "TARGET_BRANCH:", "STATUS:", "STARTED:",
    ]  # fmt: skip
    assert "DATASET:        user/dataset/img/digits:main" in lines
    name = lines[2].split()[1]
    waited = digits("wait", name)
    assert waited.code == 0
    assert "succeeded: commit " in waited.err
    assert 'training with {"lr": 0.1}' in digits("logs", name).lines
    objects = digits("ls", "object", "model/img/net:epoch-5").lines
    assert [line.split()[0] for line in objects] == [
        "PATH", "asset-hub.metadata", "model_state_dict.pt",
    ]  # fmt: skip

    first = json.loads(digits("log", "img/net:epoch-5", "--json").out)[0]["id"]
    again = digits(
        "train", "img/net", "-b", "epoch-10", *arguments(repo, "mnist"), "-c", "img/net:epoch-5",
        "--wait",
    )  # fmt: skip
    assert again.err.splitlines()[0] == (
        f"AH INFO: Continue training commit {first[:8]} with codes {repo} and dataset digits"
    )
    assert json.loads(digits("log", "img/net:epoch-10", "--json").out)[0]["parents"] == [first]

    done = digits("evaluate", "img/net:epoch-5", *arguments(repo, "mnist"), "--wait", "--json")
    assert done.err.splitlines()[0] == (
        f"AH INFO: Evaluating commit {first[:8]} of Model net with codes {repo} and dataset digits"
    )
    run = json.loads(done.out)
    assert (run["status"], run["type"], run["branch"]) == ("Succeeded", "evaluate", None)
    (record,) = json.loads(digits("ls", "evaluation", "img/net:epoch-5", "--json").out)
    assert record["id"] == run["evaluation"]
    assert record["modelRef"] == "user/model/img/net:epoch-5"
    assert record["results"] == {"metric": '{"loss": 1.473171865940094, "accuracy": 0.9883}'}
    types = [
        entry["type"] for entry in json.loads(digits("ls", "workflow", "img/net", "--json").out)
    ]
    assert types == ["evaluate", "train", "train"]


def test_a_run_that_fails_says_why_and_changes_nothing(digits: Ah, repo: Path) -> None:
    for subpath, why in (("bad", "exited with status 1"), ("idle", "")):
        failed = digits("train", "img/net", "-b", "new", *arguments(repo, subpath), "--wait")
        assert failed.code == 1
        last = failed.err.splitlines()[-1]
        assert last.startswith("AH ERROR: run asset-hub-")
        assert why in last
        assert "\x1b" not in failed.err
    branches = json.loads(digits("ls", "branch", "img/net", "--json").out)
    assert [branch["name"] for branch in branches] == ["main"]
    shown = digits("ls", "workflow", "img/net")
    assert shown.out.count("STATUS:         Failed") == 2
    assert "\x1b" not in shown.out
    assert digits("wait", last.split()[3]).code == 1


def test_stop_and_delete_a_run(digits: Ah, repo: Path) -> None:
    started = digits("evaluate", "img/net:main", *arguments(repo, "bad"), "--json")
    name = json.loads(started.out)["name"]
    until_running(digits, name)
    assert digits("wait", name, "--timeout", "0.1").code == 1
    assert digits("delete", "workflow", name).code == 3  # still running
    stopped = digits("stop", name)
    assert (stopped.code, stopped.err.splitlines()[-1]) == (0, f"AH INFO: Run {name} is stopped")
    assert digits("stop", name).err == f"AH INFO: Run {name} is stopped\n"
    assert "STATUS:             Stopped" in digits("show", "workflow", name).out
    assert digits("logs", "-f", name).code == 0
    assert digits("delete", "workflow", name).code == 0
    assert digits("show", "workflow", name).code == 1


def test_ctrl_c_ends_the_waiting_and_not_the_run(digits: Ah, repo: Path) -> None:
    command = ["evaluate", "img/net:main", *arguments(repo, "bad"), "--wait"]
    with subprocess.Popen(
        [sys.executable, "-m", "ahstore", *command], stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stderr is not None
        said = [waiting.stderr.readline(), waiting.stderr.readline()]
        time.sleep(0.3)
        os.kill(waiting.pid, signal.SIGINT)
        said += waiting.stderr.readlines()
    assert waiting.returncode == 130
    assert "The run goes on" in said[2]
    assert said[-1] == "AH ERROR: interrupted\n"
    (run,) = json.loads(digits("ls", "workflow", "img/net", "--json").out)
    assert run["status"] in ("Pending", "Running")
    assert digits("stop", run["name"]).code == 0


def test_uncommitted_changes(digits: Ah, repo: Path) -> None:
    text = TRAIN.replace("data * 10", "b'changed'")
    (repo / "mnist" / "train.py").write_text(text)
    (repo / ".env").write_text("c4n4ry")
    given = ["img/net", *arguments(repo, "mnist"), "--wait", "-b"]
    plain = digits("train", *given, "plain")
    assert plain.code == 0
    assert "are not part of the run" in plain.err
    taken = digits("train", *given, "taken", "--with-changes")
    assert taken.code == 0
    assert "changes of 1 file\n" in taken.err
    assert "hold secrets: .env" in taken.err
    assert digits("cat", "model/img/net:taken", "model_state_dict.pt").out == "changed"
    name = json.loads(digits("ls", "workflow", "img/net", "--json").out)[0]["name"]
    shown = digits("show", "workflow", name)
    assert "GIT_CHANGES:" in shown.out
    for of in (name, "img/net:taken"):
        patch = digits("code", of, "--patch")
        assert "+" + text.splitlines()[-1] in patch.out
        folder = repo.parent / f"code-{len(of)}"
        assert digits("code", of, "-s", str(folder)).code == 0
        assert (folder / "mnist" / "train.py").read_text() == text
        assert digits("code", of, "-s", str(folder)).code == 2
    assert digits("code", "img/net:plain", "--patch").out == ""
    assert digits("code", name).code == digits("code", name, "--patch", "-s", "x").code == 2
    assert digits("code", "img/net:main", "--patch").code == 2


STEPS = """
import os, sys
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"])
step = int(os.environ.get("AH_RESUMED_STEP", "0")) + 1
(out / "model").write_text(str(step))
run.log(step=step, loss=1 / step)
run.checkpoint(out, step=step)
sys.exit(step < 3)
"""


def test_checkpoints_retries_resume_reuse_and_plots(digits: Ah, repo: Path) -> None:
    (repo / "mnist" / "train.py").write_text(STEPS)
    git = ["git", "-C", str(repo), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "commit", "-qam", "steps"], check=True)
    given = ["img/net", "-b", "steps", *arguments(repo, "mnist")]
    failed = digits("train", *given, "--retries", "1", "--retry-wait", "0", "--wait", "--json")
    assert failed.code == 1
    first = json.loads(failed.out)
    assert f"'ah resume {first['name']}' goes on" in failed.err
    assert (first["attempt"], first["retries"], first["last_checkpoint"]["step"]) == (2, 1, 2)
    showing = digits("show", "workflow", first["name"])
    assert showing.code == 0, showing.err
    shown = " ".join(showing.out.split())
    assert "ATTEMPT: 2 of 2" in shown
    assert "1: train.py exited with status 1" in shown
    own = "run-" + first["name"].rpartition("-")[2]
    assert f"2 checkpoints, the last {first['last_checkpoint']['commit'][:8]} at step 2 on" in shown
    assert f"branch {own}" in shown

    resumed = digits("resume", first["name"], "--wait", "--json")
    assert resumed.code == 0, resumed.err
    said = resumed.err.splitlines()[0]
    assert said.endswith(
        f"goes on with {first['name']} from checkpoint"
        f" {first['last_checkpoint']['commit'][:8]} at step 2"
    )
    second = json.loads(resumed.out)
    assert (second["resumes"], second["status"]) == (first["name"], "Succeeded")
    again = digits("resume", second["name"])
    assert again.code == 2
    assert "succeeded" in again.err

    plotted = digits("plot", first["name"], second["name"])
    assert f"  a {first['name']}: last 0.5, lowest 0.5, highest 1, 2 values" in plotted.lines
    page = digits("plot", first["name"], "-m", "loss", "--html").out
    assert page.startswith("<!doctype html>")
    assert "<polyline" in page
    data = json.loads(digits("plot", first["name"], "--json").out)
    assert data[0]["runs"][0]["points"] == [[1, 1], [2, 0.5]]
    shown = " ".join(digits("show", "workflow", second["name"]).out.split())
    assert "METRICS: step 3, loss 0.333333" in shown
    assert f"RESUMES: {first['name']}" in shown
    assert digits("plot", first["name"], "-m", "other").err == "AH INFO: No metrics\n"


def test_reuse(digits: Ah, repo: Path) -> None:
    given = [*arguments(repo, "mnist"), "--reuse", "--wait"]
    first = digits("train", "img/net", "-b", "one", *given)
    second = digits("train", "img/net", "-b", "two", *given, "--json")
    assert (first.code, second.code) == (0, 0), second.err
    run = json.loads(second.out)
    assert f"on branch two, the result of {run['reused_from']}" in second.err
    shown = " ".join(digits("show", "workflow", run["name"]).out.split())
    assert f"REUSED_FROM: {run['reused_from']}" in shown


def test_variables_and_environments(
    digits: Ah, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_OWN", "c4n4ry-value")
    (repo / "mnist" / "train.py").write_text(
        TRAIN + "assert os.environ['MY_OWN'] and os.environ['MODE'] == 'fast'\n"
    )
    (repo / "mnist" / "requirements.txt").write_text("# none\n")
    given = ["img/net", *arguments(repo, "mnist"), "-b", "b", "--with-changes", "--wait"]
    done = digits("train", *given, "--venv", "--env", "MY_OWN", "--env", "MODE=fast")
    assert done.code == 0, done.err
    name = json.loads(digits("ls", "workflow", "img/net", "--json").out)[0]["name"]
    shown = digits("show", "workflow", name)
    assert "MODE=fast" in shown.out
    assert "MY_OWN" in shown.out
    assert "c4n4ry" not in shown.out + digits("show", "workflow", name, "--json").out
    assert "of requirements.txt" in shown.out
    assert digits("rerun", "img/net:b").code == 2
    assert "same bytes" in digits("rerun", "img/net:b", "--env", "MY_OWN").out
    (made,) = json.loads(digits("ls", "environment", "--json").out)
    assert made["key"][:8] in digits("ls", "environment").out
    assert digits("delete", "environment", "0000").code == 1
    assert digits("delete", "environment").code == 2
    assert digits("delete", "environment", made["key"][:8]).code == 0
    assert digits("ls", "environment", "--json").out.strip() == "[]"
    assert digits("train", *given, "--env", "A=1", "--env", "A=2").code == 2
    assert digits("train", *given, "--python", "9.99").code == 1
