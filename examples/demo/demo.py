"""What `make demo` shows: the tutorial, command for command and call for call, on real data.

Every line shown was run, and what stands below it is what it printed. All happens in a temporary
folder that is removed at the end; with --keep it stays, to look around in.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent
PROJECT = EXAMPLES.parent
MODEL = "image-classification/digits-mlp"
DATASET = "image-classification/digits"


class Demo:
    """A folder in which commands are shown, run, and what they print shown too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder / ".home"
        self.environment = {
            **os.environ,
            "AH_STORE": str(folder / "store"),
            "AH_USER": "user",
            "PATH": os.pathsep.join([make_programs(home / "bin"), os.environ["PATH"]]),
            "PYTHONPATH": str(PROJECT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "user.name",
            "GIT_CONFIG_VALUE_0": "user",
            "GIT_CONFIG_KEY_1": "user.email",
            "GIT_CONFIG_VALUE_1": "user@example.org",
            # Whoever tries the demo finds his own cache, login and runs as they were.
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
        }

    def title(self, text: str) -> None:
        """Begin a part."""
        print(f"\n{styled('1;4', text)}\n", flush=True)

    def say(self, text: str) -> None:
        """Remark on what comes next."""
        print(styled("2", f"# {text}"), flush=True)

    def run(self, command: str) -> None:
        """Show a command, run it and show what it prints; the demo ends if it fails."""
        print(styled("2", "$ ") + styled("1", command), flush=True)
        self._finish(self._start(command, shell=True))
        print(flush=True)

    def show_python(self, script: Path) -> None:
        """Run a script in a process of its own, showing each statement and what it prints."""
        self._finish(self._start([sys.executable, HERE / "show_statements.py", script]))

    def name_of_last_run(self) -> str:
        """Return the name that a reader would take from the listing."""
        command = ["ah", "ls", "workflow", MODEL, "--json"]
        listing = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, check=True
        ).stdout
        return max(json.loads(listing), key=lambda run: run["start_time"])["name"]

    def _start(self, command: str | list[str | Path], *, shell: bool = False) -> int:
        return subprocess.run(
            command, shell=shell, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL
        ).returncode

    def _finish(self, status: int) -> None:
        if status != 0:
            sys.exit(f"\nThe demo ends here: that failed (exit status {status}).")


def make_programs(folder: Path) -> str:
    """Return a folder with `ah` and `python` in it, those of the Python that runs the demo."""
    folder.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    for name, command in (("ah", f"{python} -m ahstore"), ("python", python)):
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return str(folder)


def styled(code: str, text: str) -> str:
    """Return text with a terminal's style, if there is a terminal."""
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() else text


def prepare(demo: Demo) -> None:
    """Make a git repository from the example, and the dataset's files."""
    demo.title("Training code in a git repository, and data")
    demo.run(f"mkdir repo && cp -r {EXAMPLES / 'digits'} repo/digits && ls repo/digits")
    demo.run("git -C repo init --quiet --initial-branch master")
    demo.run("git -C repo add digits && git -C repo commit --quiet -m 'Train on digits'")
    demo.run("python repo/digits/make_dataset.py digits && ls digits/*")


def commit_dataset(demo: Demo) -> None:
    """Make a dataset and commit the files to it."""
    demo.title("A dataset")
    demo.run("ah create folder dataset/image-classification")
    demo.run(f"ah create dataset {DATASET}")
    demo.run(f"ah status dataset/{DATASET} 'digits/*'")
    demo.run(f"ah commit dataset/{DATASET} -m 'Add the digits' -a 'digits/*'")
    demo.run(f"ah ls object dataset/{DATASET}")
    demo.run(f"ah ls commit dataset/{DATASET}")


def train(demo: Demo, training: str) -> None:
    """Train a model and look at what comes of it."""
    demo.title("A model, trained by the repository's code")
    demo.run("ah create folder model/image-classification")
    demo.run(f"ah create model {MODEL}")
    demo.run(f"ah train {MODEL} -b epoch-5 {training}")
    demo.say("The command has returned, the training runs on by itself.")
    demo.run(f"ah ls workflow {MODEL}")
    name = demo.name_of_last_run()
    demo.run(f"ah wait {name}")
    demo.run(f"ah logs {name}")
    demo.run(f"ah ls workflow {MODEL}")
    demo.run(f"ah ls object model/{MODEL}:epoch-5")
    demo.run(f"ah cat model/{MODEL}:epoch-5 asset-hub.metadata")


def continue_training(demo: Demo, training: str) -> None:
    """Go on from the first model."""
    demo.title("Training continued from that checkpoint")
    demo.run(f"ah train {MODEL} -b epoch-10 {training} -c {MODEL}:epoch-5 --wait")
    demo.run(f"ah logs {demo.name_of_last_run()}")
    demo.run(f"ah ls branch model/{MODEL}")
    demo.run(f"ah log model/{MODEL}:epoch-10")


def evaluate(demo: Demo, training: str) -> None:
    """Measure both models."""
    demo.title("Both evaluated")
    for branch in ("epoch-5", "epoch-10"):
        demo.run(f"ah evaluate {MODEL}:{branch} {training} --wait")
    for branch in ("epoch-5", "epoch-10"):
        demo.run(f"ah ls evaluation {MODEL}:{branch}")
    demo.run(f"ah create tag {MODEL}:v1 --source epoch-10")
    demo.run(f"ah download model/{MODEL}:v1 -s best && ls best")


def account(demo: Demo) -> None:
    """Follow a number back to what it was made of, and make that again."""
    demo.title("Where a number comes from, and the same again")
    demo.run(f"ah compare {MODEL} --sort accuracy")
    demo.run(f"ah why {MODEL}:@best:accuracy")
    for branch in ("epoch-5", "epoch-10"):
        demo.run(f"ah rerun {MODEL}:{branch}")


def copy_store(demo: Demo) -> None:
    """A store is a folder."""
    demo.title("The store is a folder")
    demo.run("cp -r store backup && du -sh backup")
    demo.run(f"ah --store backup ls branch model/{MODEL}")


def show(folder: Path) -> None:
    """Show everything, in ``folder``."""
    demo = Demo(folder)
    training = f"-d {DATASET} -v 100Mi -r {folder / 'repo'} -i master -s digits"
    parts: list[Callable[[], None]] = [
        lambda: prepare(demo),
        lambda: commit_dataset(demo),
        lambda: train(demo, training),
        lambda: continue_training(demo, training),
        lambda: evaluate(demo, training),
        lambda: account(demo),
        lambda: copy_store(demo),
    ]
    for part in parts:
        part()
    demo.title("The same through Python, in a store of its own")
    demo.show_python(HERE / "through_python.py")


def main() -> None:
    """Run the demo in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the folder to look around in")
    keep = parser.parse_args().keep
    folder = Path(tempfile.mkdtemp(prefix="ahstore-demo-"))
    began = time.monotonic()
    try:
        show(folder)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\nDone in {time.monotonic() - began:.0f} seconds.")
    if keep:
        print(f"Look around:  cd {folder} && export AH_STORE=$PWD/store AH_USER=user")
    print("Next: docs/tutorial.md goes through this step by step.")


if __name__ == "__main__":
    main()
