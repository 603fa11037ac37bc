"""The command line as a process: streams, exit statuses, signals, terminals."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Ah

AH = [sys.executable, "-m", "ahstore"]


def test_data_goes_to_standard_output_and_messages_to_standard_error(process: Ah) -> None:
    made = process("create", "folder", "model/llm")
    assert (made.code, made.out) == (0, "")
    assert made.err == "AH INFO: Creating Model Folder llm\n"
    listed = process("ls", "--json")
    assert json.loads(listed.out)[0]["path"] == "user/model/llm"
    assert listed.err == ""


def test_exit_statuses(process: Ah) -> None:
    assert process("--version").out.startswith("ahstore ")
    assert process("--help").code == 0
    assert process().code == 2
    assert process("nonsense").code == 2
    assert process("ls").code == 1  # there is no store yet
    assert process("create", "model/llm").code == 0
    assert process("create", "model/llm").code == 1


def test_quiet_is_quiet(process: Ah) -> None:
    assert process("-q", "create", "model/llm").err == ""
    assert process("create", "model/llm/x", "-q").err == ""


def test_the_store_may_be_said_before_and_behind_the_verb(process: Ah, home: Path) -> None:
    assert process("--store", "other", "create", "model/llm").code == 0
    assert process("ls", "--store", "other").lines[1].split()[0] == "llm"
    assert not (home / "store").exists()


def test_a_bug_is_one_line_and_the_way_to_the_traceback(process: Ah, home: Path) -> None:
    broken = home / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import ahstore.cli.whoami as w\n"
        "def bug(*a, **k): raise ZeroDivisionError('planted')\n"
        "w.whoami.callback = bug\n"
    )
    path = f"{broken}{os.pathsep}{os.environ['PYTHONPATH']}"
    plain = process("whoami", env={**os.environ, "PYTHONPATH": path})
    assert plain.code == 70
    assert plain.err == (
        "AH ERROR: unexpected ZeroDivisionError: planted "
        "(a bug in ahstore: run again with AH_TRACEBACK=1 to see where)\n"
    )
    traced = process("whoami", env={**os.environ, "PYTHONPATH": path, "AH_TRACEBACK": "1"})
    assert "Traceback" in traced.err


def test_a_reader_who_goes_away_is_no_error(process: Ah, home: Path) -> None:
    # `ah ls object … | head -1` must not end in a traceback, nor in a message.
    process("create", "model/llm")
    process("create", "model/llm/x")
    for number in range(3000):
        (home / "work" / f"{number:05}-{'x' * 60}").write_text("")
    assert process("commit", "model/llm/x", "-m", "many", "-a", "*").code == 0
    for command in (["ls", "object", "model/llm/x"], ["ls", "model/llm/x", "--json"]):
        with subprocess.Popen(
            [*AH, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            run.stdout.readline()
            run.stdout.close()
            assert run.stderr.read() == b""
        assert run.returncode == 141


def test_closed_and_full_streams_are_no_bugs(process: Ah) -> None:
    process("create", "model/llm")
    for shell, code in (("ls >&-", 0), ("ls >/dev/full", 1), ("ls nope/x 2>&-", 1)):
        done = subprocess.run(
            ["bash", "-c", f"{' '.join(AH)} {shell}"], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout) == (code, ""), shell
        assert "Traceback" not in done.stderr
        assert "bug" not in done.stderr


def test_ctrl_c_ends_quietly(process: Ah, home: Path) -> None:
    process("create", "model/llm")
    process("create", "model/llm/x")
    (home / "work" / "big").write_bytes(os.urandom(64 << 20))
    with subprocess.Popen(
        [*AH, "commit", "model/llm/x", "-m", "x", "-a", "big"], stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("AH INFO: Committing")
        run.send_signal(signal.SIGINT)
        said = run.stderr.read()
    # Interrupted, or just done before the signal came.
    assert run.returncode in (0, 130)
    assert "Traceback" not in said
    if run.returncode == 130:
        assert said.endswith("AH ERROR: interrupted\n")
    assert process("ls", "model/llm/x").code == 0


def test_a_path_the_terminal_can_not_spell_does_not_end_the_listing(process: Ah) -> None:
    process("create", "model/llm", "--description", "模型")
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    shown = process("show", "model/llm", env=env)
    assert shown.code == 0
    assert "\\u6a21" in shown.out


def test_without_a_terminal_there_is_no_bar(process: Ah, home: Path) -> None:
    process("create", "model/llm")
    process("create", "model/llm/x")
    (home / "work" / "big").write_bytes(os.urandom(8 << 20))
    made = process("commit", "model/llm/x", "-m", "x", "-a", "big")
    assert len(made.err.splitlines()) == 2
    assert "\x1b" not in made.err
    assert "\r" not in made.err


SLOW = """
import sys, time
import ahstore.cli.progress as progress
progress.PATIENCE_SECONDS = 0
progress._Counting.first_seconds = 0
bar = progress.Bar()
bar.start("Committing", files=3, bytes_=3 << 20)
for _ in range(3):
    bar.advance(files=1, bytes_=1 << 20)
    time.sleep(0.1)
bar.finish()
print("done", file=sys.stderr)
"""


def test_on_a_terminal_a_bar_comes_and_goes(home: Path) -> None:
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", SLOW], stderr=follower, env=env) as run:
        os.close(follower)
        seen = b""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and select.select([leader], [], [], 30)[0]:
            try:
                block = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            seen += block
    os.close(leader)
    assert run.returncode == 0
    assert "Committing" in seen.decode()
    assert "3 of 3 files, 3.0 MiB of 3.0 MiB" in seen.decode()
    # The bar has wiped its line before the next message.
    assert seen.rstrip().endswith(b"done")
    assert b"\x1b[2K" in seen


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(process: Ah, shell: str) -> None:
    script = process("completion", shell)
    assert script.code == 0
    assert "_AH_COMPLETE" in script.out
    env = {**os.environ, "_AH_COMPLETE": f"{shell}_complete"}
    words = {"COMP_WORDS": "ah mer", "COMP_CWORD": "mer" if shell == "fish" else "1"}
    completed = subprocess.run(
        AH, env={**env, **words}, capture_output=True, text=True, check=True, timeout=60
    )
    assert "merge" in completed.stdout


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("ah mer", ["merge"]),
        ("ah ls m", ["model", "model/llm"]),
        ("ah create fo", ["folder"]),
        ("ah show model/llm/", ["model/llm/x"]),
        ("ah cat model/llm/x:", ["model/llm/x:main", "model/llm/x:t1"]),
        ("ah cat user/", ["user/model/llm"]),
        ("ah cat nonsense:", []),
        ("ah commit --dr", ["--dry-run"]),
    ],
)
def test_what_is_completed(ah: Ah, process: Ah, words: str, completions: list[str]) -> None:
    for command in ("model/llm", "model/llm/x", "model/llm/x:t1 --tag"):
        ah("create", *command.split())
    place = str(len(words.split()) - 1)
    env = {"_AH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": place}
    done = process(env={**os.environ, **env})
    assert [line.partition(",")[2] for line in done.out.split()] == completions
    assert done.err == ""
