"""The options of both commands, and the run from data to table."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import can_drop_caches, file_system
from benchmarks.measured import Results
from benchmarks.ours import ahstore
from benchmarks.page import replace_table
from benchmarks.references import REFERENCES
from benchmarks.rows import ROWS, with_needs
from benchmarks.runner import Runner, say
from benchmarks.table import as_json, markdown
from benchmarks.tool import MakeTool
from benchmarks.workloads import QUICK, Sizes

RESULTS = Path(__file__).parent / "results"


def parser(description: str) -> argparse.ArgumentParser:
    """Return the options that both commands have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="a tenth of the data, one round")
    made.add_argument("--rounds", type=int, help="how often everything runs (3; quick: 1)")
    made.add_argument(
        "--rows", help=f"only these, by commas, and what they need: {', '.join(ROWS)}"
    )
    made.add_argument("--files", type=int, help="how many files of 4 KiB (W1, W4–W8)")
    made.add_argument("--large-mib", type=int, help="size of the large file (W2, W3)")
    made.add_argument("--tiny", type=int, help="how many files of 200 bytes (W9)")
    made.add_argument("--objects", type=int, help="objects of the large version (M1–M3)")
    made.add_argument("--writers", type=int, help="processes of C1")
    made.add_argument("--commits", type=int, help="commits of each of them")
    made.add_argument("--no-cold", action="store_true", help="leave out W1c and W5c (need root)")
    made.add_argument("--dir", help="where to work (a temporary folder; its disk is what is timed)")
    made.add_argument("--results", type=Path, default=RESULTS, help="where the tables go")
    made.add_argument("--page", type=Path, help="a page whose table is replaced, too")
    return made


def rows_of(args: argparse.Namespace) -> set[str]:
    """Return the rows that were asked for and what they need, as far as this machine lets it."""
    try:
        rows = with_needs(args.rows.split(",") if args.rows else ROWS)
    except ValueError as error:
        raise SystemExit(_usage_error(str(error))) from None
    cold = can_drop_caches() and not args.no_cold
    return {key for key in rows if cold or not ROWS[key].cold}


def _usage_error(message: str) -> int:
    say(message)
    return 2


def sizes_of(args: argparse.Namespace) -> Sizes:
    """Return the sizes that were asked for."""
    base = QUICK if args.quick else Sizes()
    names = ("files", "large_mib", "tiny", "objects", "writers", "commits")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return replace(base, **given)


def measure(
    args: argparse.Namespace, *, name: str, peers: Sequence[MakeTool] = (), peer_rounds: int = 0
) -> None:
    """Run all rounds, print the table, and write ``NAME.md`` and ``NAME.json``."""
    sizes = sizes_of(args)
    rounds = args.rounds or (1 if args.quick else 3)
    rows = rows_of(args)
    # The environment of whoever calls must not reach the stores that are measured.
    for variable in [v for v in os.environ if v.startswith(("AH_", "GIT_", "BORG_", "RESTIC_"))]:
        del os.environ[variable]
    # Python's tools are to start as where they are installed: with their modules compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    root = Path(tempfile.mkdtemp(prefix="ahstore-bench-", dir=args.dir))
    results = Results(file_system(root))
    try:
        say("making the data")
        runner = Runner(root, sizes, rows, results, say)
        for number in range(rounds):
            runner.round(number, [*REFERENCES, ahstore, *(peers if number < peer_rounds else ())])
            _write(args.results, name, results, sizes, rounds=number + 1)
        table = markdown(results, sizes, rounds)
        print(table, flush=True)
        if args.page:
            replace_table(args.page, table)
    finally:
        say("deleting")
        shutil.rmtree(root)


def _write(folder: Path, name: str, results: Results, sizes: Sizes, *, rounds: int) -> None:
    """Write after each round, so that a run that is cut short leaves its table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(markdown(results, sizes, rounds))
    document = json.dumps(as_json(results, sizes, rounds), indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(document + "\n")
