"""The command ``ah``: the commands there are, and what happens when one fails."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ahstore._version import __version__
from ahstore.cli import exit_codes
from ahstore.cli.lazy import LazyGroup, ReaderGoneError, quiet_option, store_option
from ahstore.cli.session import Session
from ahstore.cli.table import clean
from ahstore.errors import AhError

PROGRAM_NAMES = ("ah", "ahstore")

SECTIONS = {
    "Folders and assets": {
        "create": ("ahstore.cli.create:create", "Create a folder, asset, branch, tag or evaluation."),
        "ls": ("ahstore.cli.ls:ls", "List what is there."),
        "show": ("ahstore.cli.show:show", "Show one thing in full."),
        "update": ("ahstore.cli.update:update", "Change a folder's or asset's name, labels or description."),
        "delete": ("ahstore.cli.delete:delete", "Delete a folder, asset, branch, tag, run or evaluation."),
    },
    "Versions": {
        "commit": ("ahstore.cli.commit:commit", "Commit local files to a branch."),
        "status": ("ahstore.cli.status:status", "Show what a commit would change."),
        "download": ("ahstore.cli.download:download", "Write the objects of a version into a folder."),
        "cat": ("ahstore.cli.cat:cat", "Write an object to standard output."),
        "log": ("ahstore.cli.log:log", "Show the history of a version."),
        "diff": ("ahstore.cli.diff:diff", "Show what differs between two versions."),
        "merge": ("ahstore.cli.merge:merge", "Merge a version into a branch."),
        "blame": ("ahstore.cli.blame:blame", "Show which commit brought each object."),
        "revert": ("ahstore.cli.pick:revert", "Undo what a commit changed, by a new commit."),
        "cherry-pick": ("ahstore.cli.pick:cherry_pick", "Do again what another branch's commit changed."),
        "restore": ("ahstore.cli.restore:restore", "Bring back objects of an older version."),
        "reset": ("ahstore.cli.reset:reset", "Point a branch at another commit."),
        "undelete": ("ahstore.cli.undelete:undelete", "Bring back what was deleted."),
    },
    "Training and evaluation": {
        "train": ("ahstore.cli.train:train", "Train a model with the code of a git repository."),
        "evaluate": ("ahstore.cli.evaluate:evaluate", "Evaluate a model's version."),
        "logs": ("ahstore.cli.logs:logs", "Show what a run printed."),
        "plot": ("ahstore.cli.plot:plot", "Plot the metrics of runs."),
        "compare": ("ahstore.cli.compare:compare", "Compare models by what was measured of them."),
        "lineage": ("ahstore.cli.lineage:lineage", "Show what a version was made of, and what came of it."),
        "why": ("ahstore.cli.why:why", "Say where a version comes from, in plain words."),
        "code": ("ahstore.cli.code:code", "Write the code that a run or version was made with."),
        "rerun": ("ahstore.cli.rerun:rerun", "Do a training again, and say whether the same came of it."),
        "resume": ("ahstore.cli.resume:resume", "Go on with a training that failed or was stopped."),
        "wait": ("ahstore.cli.wait:wait", "Wait until a run has ended."),
        "stop": ("ahstore.cli.stop:stop", "Stop a run."),
    },
    "Store": {
        "login": ("ahstore.cli.login:login", "Use a store from now on."),
        "logout": ("ahstore.cli.logout:logout", "Forget the store logged in to."),
        "whoami": ("ahstore.cli.whoami:whoami", "Show the user in force."),
        "export": ("ahstore.cli.export:export", "Write assets with their history into one file."),
        "import": ("ahstore.cli.import_:import_", "Bring what such a file holds into the store."),
        "sync": ("ahstore.cli.sync:sync", "Bring what is new in one store to another."),
        "clone": ("ahstore.cli.clone:clone", "Make a store with all that another holds."),
        "info": ("ahstore.cli.info:info", "Show the store in force and what it holds."),
        "gc": ("ahstore.cli.gc:gc", "Give back the space of what nothing needs any more."),
        "fsck": ("ahstore.cli.fsck:fsck", "Check that everything is there and whole."),
        "completion": ("ahstore.cli.completion:completion", "Write a script that completes ah's commands in a shell."),
    },
}  # fmt: skip

EPILOG = """\
\b
Paths:  [USER/]model/FOLDER[/ASSET[:REF]], or dataset/…; where a command says
        the kind, it may be left out. A REF is a branch, a tag or a commit
        (4 digits or more), main when left out; branch/x, tag/x, commit/x say
        which is meant; x~2 and x@{yesterday} walk back.
Store:  --store URL, else AH_STORE, else that of 'ah login', else one in your
        data directory.
Exit:   0 done, 1 failed, 2 wrong usage, 3 conflict, 4 outcome unknown,
        5 fsck found damage.
"""


@click.command(
    cls=LazyGroup,
    sections=SECTIONS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[store_option(), quiet_option()],
)
@click.version_option(__version__, prog_name="ahstore", message="%(prog)s %(version)s")
@click.pass_context
def ah(ctx: click.Context) -> None:
    """Version models and datasets, with training and evaluation in their history."""
    ctx.call_on_close(ctx.ensure_object(Session).close)


GC_THRESHOLDS = (50_000, 20, 100)


def run() -> NoReturn:
    """Run the command line and leave the process with its exit status."""
    # Rows of a large commit are many small lists without cycles: to look through them again and
    # again for garbage costs 5 to 10 % and finds none.
    gc.set_threshold(*GC_THRESHOLDS)
    sys.exit(main(sys.argv[1:]))


def main(args: Sequence[str]) -> int:
    """Run one command and return its exit status; every error ends here, as one line."""
    if sys.stdout is None or sys.stderr is None:
        # Closed by the caller (``>&-``): then nobody wants to read it.
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for the process
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path or label that the terminal can't spell must not end the listing.
        sys.stdout.reconfigure(errors="backslashreplace")
    name = os.path.basename(sys.argv[0])
    try:
        status = ah.main(
            list(args),
            prog_name=name if name in PROGRAM_NAMES else PROGRAM_NAMES[0],
            standalone_mode=False,
        )
    except Exception as error:
        if os.environ.get("AH_TRACEBACK"):
            raise
        return _explain(error)
    return status if isinstance(status, int) else exit_codes.DONE


def _explain(error: Exception) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return exit_codes.USAGE
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.Abort):
        return _say("interrupted", exit_codes.INTERRUPTED)
    if isinstance(error, ReaderGoneError):
        # What python flushes at its end must go nowhere, silently.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.READER_GONE
    if isinstance(error, AhError):
        return _say(str(error), exit_codes.exit_code(error))
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return _say(f"{error.strerror or error}{where}", exit_codes.FAILED)
    if isinstance(error, MemoryError):
        return _say("out of memory", exit_codes.FAILED)
    kind = type(error).__name__
    return _say(
        f"unexpected {kind}: {error} (a bug in ahstore: run again with AH_TRACEBACK=1 to see where)",
        exit_codes.BUG,
    )


def _usage(error: click.UsageError) -> int:
    message = error.format_message()
    if error.ctx is not None:
        message += f"\nTry '{error.ctx.command_path.rstrip()} --help'."
    return _say(message, exit_codes.USAGE)


def _say(message: str, status: int) -> int:
    # Messages quote what comes from outside; it must not drive the terminal.
    lines = [clean(line) for line in message.splitlines()]
    sys.stderr.write("AH ERROR: " + "\n".join(lines) + "\n")
    return status
