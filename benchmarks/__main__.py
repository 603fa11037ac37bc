"""The table: ours at the command line beside ``md5sum`` and ``cp -r; sync``, interleaved.

W1 commits many small files, W2 one large file, W3 the large file edited, W4 ten of the small files
changed, W5 status with nothing changed, W6 and W6b restore both, W7 lists the many, W8 makes a branch.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.measure import Series, bytes_under, timed
from benchmarks.workloads import MIB, edit_one_file, edit_some_files, many_files, one_file, sync

RESULTS = Path(__file__).parent / "results"
ROWS = {
    "W1": "commit many files of 4 KiB",
    "W2": "commit one large file",
    "W3": "commit it edited",
    "W4": "commit 10 of the many changed",
    "W5": "status, nothing changed",
    "W6": "restore the many",
    "W6b": "restore the large",
    "W7": "list the many",
    "W8": "make a branch",
}


class Bench:
    """One run: its sizes, its temporary folder, what was measured."""

    def __init__(self, root: Path, *, files: int, large: int) -> None:
        self.root, self.files, self.large = root, files, large
        self.series: dict[str, Series] = {}
        self.added: dict[str, int] = {}
        self.many, self.big = root / "many", root / "big" / "data.bin"
        many_files(self.many, count=files, size=4096)
        one_file(self.big, size=large)

    def ours(self, row: str, round_: int, *words: str) -> None:
        env = {"AH_STORE": str(self.root / f"store{round_}"), "AH_USER": "bench",
               "XDG_CACHE_HOME": str(self.root / f"cache{round_}")}  # fmt: skip
        sync()
        series = self.series.setdefault(row, Series())
        timed(series, [sys.executable, "-m", "ahstore", *words], env)

    def reference(self, row: str, *command: str) -> None:
        sync()
        timed(self.series.setdefault(row, Series()), command)

    def round(self, at: int) -> None:
        store = str(self.root / f"store{at}")
        self.ours("setup", at, "create", "folder", "dataset/b")
        self.ours("setup", at, "create", "dataset", "b/many")
        self.ours("setup", at, "create", "dataset", "b/big")
        find = f"find {self.many} -type f -print0 | xargs -0 md5sum"
        self.reference("md5sum W1", "sh", "-c", find)
        self.reference("cp W1", "sh", "-c", f"cp -r {self.many} {self.root}/copy{at}; sync")
        self.commit("W1", at, "many", f"{self.many}/*")
        self.reference("md5sum W2", "md5sum", str(self.big))
        self.reference("cp W2", "sh", "-c", f"cp {self.big} {self.root}/copybig{at}; sync")
        self.commit("W2", at, "big", str(self.big))
        original = self.root / "original.bin"
        shutil.copy2(self.big, original)
        edit_one_file(self.big)
        self.commit("W3", at, "big", str(self.big))
        self.ours("W5", at, "status", "dataset/b/many", f"{self.many}/*")
        edit_some_files(self.many, count=10, seed=at)
        self.commit("W4", at, "many", f"{self.many}/*")
        self.ours("W6", at, "download", "dataset/b/many", "-s", f"{self.root}/out{at}")
        self.ours("W6b", at, "download", "dataset/b/big", "-s", f"{self.root}/outbig{at}")
        self.ours("W7", at, "ls", "object", "dataset/b/many")
        self.ours("W8", at, "create", "branch", "dataset/b/many:dev")
        shutil.move(original, self.big)
        self.added["store"] = bytes_under(store)

    def commit(self, row: str, at: int, asset: str, add: str) -> None:
        store = str(self.root / f"store{at}")
        before = bytes_under(store)
        self.ours(row, at, "commit", f"dataset/b/{asset}", "-m", row, "-a", add)
        self.added[row] = bytes_under(store) - before


def table(bench: Bench) -> str:
    """Return the Markdown table."""
    today = datetime.now(tz=timezone.utc).date().isoformat()
    size = f"{bench.files} files of 4 KiB, one file of {bench.large // MIB} MiB"
    head = f"{size}; {today}; median seconds (spread)."
    lines = [
        head,
        "",
        "| | what | ahstore | ÷ md5sum | ÷ cp+sync | peak MiB | adds MiB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, what in ROWS.items():
        ours = bench.series[row]
        data = {"W1": "W1", "W6": "W1", "W2": "W2", "W3": "W2", "W6b": "W2"}.get(row)
        ratio: Callable[[str], str] = lambda kind, o=ours, d=data: (  # noqa: E731
            f"{o.median / bench.series[f'{kind} {d}'].median:.2f}" if d else ""
        )
        added = f"{bench.added[row] / MIB:.1f}" if row in bench.added else ""
        lines.append(
            f"| {row} | {what} | {ours.shown()} | {ratio('md5sum')} | {ratio('cp')} "
            f"| {ours.rss_mib:.0f} | {added} |"
        )
    lines.extend(
        f"| | `{name}` | {bench.series[name].shown()} | | | | |"
        for name in ("md5sum W1", "cp W1", "md5sum W2", "cp W2")
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", help="where to work (default: a temporary folder)")
    args = parser.parse_args()
    files, large = (2000, 100 * MIB) if args.quick else (20000, 1024 * MIB)
    root = Path(tempfile.mkdtemp(prefix="ahbench", dir=args.dir))
    try:
        bench = Bench(root, files=files, large=large)
        for at in range(1 if args.quick else args.rounds):
            bench.round(at)
            print(f"round {at + 1} done", file=sys.stderr)
        text = table(bench)
    finally:
        shutil.rmtree(root)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.md").write_text(text)
    raw = {name: series.seconds for name, series in bench.series.items()}
    (RESULTS / "latest.json").write_text(
        json.dumps({"seconds": raw, "added": bench.added}, indent=1)
    )
    print(text)


if __name__ == "__main__":
    main()
