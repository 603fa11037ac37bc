"""Time and count ahstore on an S3 server beside s3fs: ``python -m benchmarks.s3``.

A SeaweedFS is started for it. Both sides run as whole processes, one after the other in each
round, with the same number of requests in flight; what counts is their ratio within the run.
Requests are counted apart, through a proxy, and have nothing to do with the machine. DVC's push and
pull are timed too where DVC with its S3 part is found (``--dvc`` says where).

What the sides do is not the same: ours verifies each byte by SHA-256 on the way down, keeps it in a
bounded cache on this machine, and on the way up hashes and finds what the store has already; s3fs
does none of that. Neither syncs what it writes; both are timed to the end of a ``sync``.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from ahstore.client.asset import Asset
from ahstore.client.ref import Branch
from ahstore.client.store import Store
from ahstore.testing.fault_proxy import FaultProxy
from ahstore.testing.s3_servers import S3Server, running
from benchmarks.measure import run
from benchmarks.s3_dvc import Dvc
from benchmarks.workloads import MANY_FILE_BYTES, contents, make_large, make_many, warm

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Row:
    """One line of the table: what is done, and the measures of each round by side."""

    title: str
    goal: str
    ours: list[dict[str, float]] = field(default_factory=list)
    plain: list[dict[str, float]] = field(default_factory=list)
    dvc: list[dict[str, float]] = field(default_factory=list)

    def line(self) -> str:
        """Return the line in Markdown; the ratio is s3fs's seconds over ours, above 1 is faster."""
        ours, plain = _median(self.ours, "seconds"), _median(self.plain, "seconds")
        ratio = statistics.median(
            theirs["seconds"] / mine["seconds"]
            for mine, theirs in zip(self.ours, self.plain, strict=True)
        )
        peak = max(measures["peak MiB"] for measures in self.ours)
        return (
            f"| {self.title} | {ours:.2f} s | {plain:.2f} s | {ratio:.2f} | {self.goal} |"
            f" {peak:.0f} MiB | {self._dvc(ours)} |"
        )

    def _dvc(self, ours: float) -> str:
        if not self.dvc:
            return "—"
        seconds = _median(self.dvc, "seconds")
        return f"{seconds:.2f} s ({seconds / ours:.1f} ×)"


def _median(measures: list[dict[str, float]], name: str) -> float:
    return statistics.median(measure[name] for measure in measures)


class Bench:
    """The workloads, a server, and what each side does with them."""

    def __init__(
        self, server: S3Server, folder: Path, *, mib: int, files: int, dvc: str | None = None
    ) -> None:
        self.server = server
        self.folder = folder
        self.environment = {
            **server.environment(),
            "BENCH_ENDPOINT": server.endpoint,
            "AH_USER": "bench",
            **{
                f"XDG_{kind}_HOME": str(folder / kind.lower())
                for kind in ("CACHE", "CONFIG", "DATA", "STATE")
            },
        }
        self.dvc = Dvc.find(dvc, self.environment)
        self.dvc_adds: list[float] = []
        make_large(folder / "large" / "data.bin", mib=mib)
        make_many(folder / "many", count=files, size=MANY_FILE_BYTES)
        self.rows = {
            "put": Row(f"upload one file of {mib} MiB", "≥ 0.9"),
            "get": Row("download it, nothing cached", "≥ 0.9"),
            "put-all": Row(f"upload {files:,} files of 4 KiB", "≥ 20"),
            "get-all": Row("download them, nothing cached", ""),
        }

    def round(self, number: int) -> None:
        """Run everything once, who comes first in turn."""
        prefix = f"bench/{secrets.token_hex(6)}"
        url = self.server.url(f"{prefix}/store")
        plain = f"{self.server.bucket}/{prefix}/plain"
        self._ah(url, "create folder model/f")
        for name in ("large", "many"):
            self._ah(url, f"create model f/{name}")
        out = self.folder / "out"
        pairs: list[tuple[str, str, str]] = [
            ("put", f"commit f/large -m m -a {self.folder}/large/data.bin",
             f"put {self.folder}/large/data.bin {plain}/data.bin"),
            ("get", f"download f/large -s {out}/ours", f"get {plain}/data.bin {out}/data.bin"),
            ("put-all", f"commit f/many -m m -a '{self.folder}/many/*'",
             f"put-all {self.folder}/many {plain}/many"),
            ("get-all", f"download f/many -s {out}/ours", f"get-all {plain}/many {out}/plain"),
        ]  # fmt: skip
        for key, ours, theirs in pairs:
            warm(self.folder / ("large" if key in ("put", "get") else "many"))
            sides: list[Callable[[], None]] = [
                lambda: self.rows[key].ours.append(self._ah(url, ours)),  # noqa: B023
                lambda: self.rows[key].plain.append(self._plain(theirs)),  # noqa: B023
            ]
            for side in sides if number % 2 == 0 else reversed(sides):
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                if key.startswith("get"):
                    shutil.rmtree(self.folder / "cache", ignore_errors=True)
                side()
                self._check(key, out)
            say(self.rows[key].line())
        if self.dvc is not None:
            self._round_of_dvc(self.dvc)

    def _round_of_dvc(self, dvc: Dvc) -> None:
        measures = dvc.round(
            self.folder,
            self.folder / "many",
            endpoint=self.server.endpoint,
            bucket=self.server.bucket,
        )
        self.rows["put-all"].dvc.append(measures["push"])
        self.rows["get-all"].dvc.append(measures["pull"])
        self.dvc_adds.append(measures["add"]["seconds"])
        say(self.rows["put-all"].line())

    def about_dvc(self) -> str:
        """Return what is to be said of the column for DVC."""
        if self.dvc is None:
            return "DVC with its S3 part was not there (`--dvc` says where it is): not compared."
        return (
            f"DVC {self.dvc.version()}: `dvc push` and `dvc pull`, and how many times ours that is."
            f" The `dvc add` before, {statistics.median(self.dvc_adds):.2f} s, is not counted."
        )

    def _check(self, key: str, out: Path) -> None:
        if key.startswith("get"):
            wanted = contents(self.folder / ("large" if key == "get" else "many"))
            assert contents(out) == wanted, f"{key}: what came back differs"

    def _ah(self, url: str, line: str) -> dict[str, float]:
        environment = {**self.environment, "AH_STORE": url}
        return run(f"{sys.executable} -m ahstore {line}", env=environment, cwd=self.folder)

    def _plain(self, line: str) -> dict[str, float]:
        root = str(Path(__file__).parents[1])
        environment = {**self.environment, "PYTHONPATH": root}
        return run(
            f"{sys.executable} -m benchmarks.s3_plain {line}", env=environment, cwd=self.folder
        )

    def requests(self) -> list[tuple[str, Counter[str]]]:
        """Return how many requests each operation makes, by kind."""
        os.environ.update(self.server.environment())
        found: list[tuple[str, Counter[str]]] = []
        branches: list[Branch] = []
        with FaultProxy(self.server.endpoint) as proxy:
            url = f"s3://{self.server.bucket}/{secrets.token_hex(6)}?endpoint_url={proxy.endpoint}"

            def count(title: str, action: Callable[[], object]) -> None:
                proxy.clear()
                action()
                found.append((title, proxy.counts()))

            def fresh() -> Store:
                cache = self.folder / "caches" / secrets.token_hex(4)
                return Store.open(url, cache_dir=cache, user="bench")

            one = self.folder / "one"
            many = f"{self.folder}/many/*"
            path = "model/f/a"

            def commit(name: str, branch: Branch) -> None:
                one.write_text(name)
                count(name, lambda: branch.create_commit(name, add=[str(one)]))

            with fresh() as store:
                count(
                    "make a store and a folder (the server is probed)",
                    lambda: store.create("model/f"),
                )
                count("make an asset", lambda: store.create(path))
                branch = _branch(store, path)
                commit("commit one file, the first of a process", branch)
                commit("commit one file, one of many in a process", branch)
                commit("the same, and again", branch)
                count("make a branch, by path", lambda: store.create(f"{path}:b"))
                count("list the objects, by path, warm", lambda: store.list(path))
                count("commit the small files", lambda: branch.create_commit("m", add=[many]))
                count("commit them again, unchanged", lambda: branch.create_commit("m", add=[many]))
            with fresh() as store:
                count(
                    "open a store and find a branch, nothing cached",
                    lambda: branches.append(_branch(store, path)),
                )
                commit("commit one file, nothing cached", branches[-1])
            with fresh() as store:
                count("list the small files, by path, nothing cached", lambda: store.list(path))
            with fresh() as store:
                target = self.folder / "counted"
                count(
                    "download them, by path, nothing cached",
                    lambda: store.download(path, save_dir=target),
                )
        return found


def _branch(store: Store, path: str) -> Branch:
    asset = store.get(path)
    assert isinstance(asset, Asset)
    return asset.get_branch("main")


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(text + "\n")


def table(bench: Bench, requests: list[tuple[str, Counter[str]]], rounds: int) -> str:
    """Return both tables in Markdown."""
    day = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    lines = [
        f"{day}, {rounds} rounds, SeaweedFS on the same machine ({os.cpu_count()} cores); medians.",
        "",
        "| | ahstore | s3fs | s3fs ÷ ahstore | goal | our peak | DVC |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(row.line() for row in bench.rows.values() if row.ours),
        "",
        bench.about_dvc(),
        "",
        "| operation | requests | of which |",
        "| --- | --- | --- |",
    ]
    for title, counts in requests:
        kinds = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
        lines.append(f"| {title} | {sum(counts.values())} | {kinds} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the large file")
    parser.add_argument("--files", type=int, default=20_000, help="how many small files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", help="where to work (a temporary folder)")
    parser.add_argument("--dvc", help="the program, if it is not on the path")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    with running("seaweedfs") as server, tempfile.TemporaryDirectory(dir=args.dir) as folder:
        bench = Bench(server, Path(folder), mib=args.mib, files=args.files, dvc=args.dvc)
        for number in range(args.rounds):
            bench.round(number)
        # Last: what this process grows by would show as the peak of those it starts.
        requests = bench.requests()
        text = table(bench, requests, args.rounds)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "s3.md").write_text(text)
    measures = {
        key: {"ours": row.ours, "s3fs": row.plain, "dvc": row.dvc}
        for key, row in bench.rows.items()
    }
    (args.results / "s3.json").write_text(json.dumps(measures, indent=2))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
