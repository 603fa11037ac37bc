"""``python -m benchmarks.pairs``: what the second of two versions adds, by the size of chunks.

Pairs: successive releases of packages with large binaries (fetched by pip, as wheels and
unpacked), successive checkpoints of a training, a table that grows or is edited, a renamed dataset.
Each file is cut, hashed and compressed as a commit does it, in process and without a store, so that
only the size differs. Writes a table in Markdown to the standard output.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ahstore.chunks.cutter import Cutter, CuttingParameters
from ahstore.codec.compression import compress
from ahstore.codec.digests import sha256
from ahstore.objects.file import REF_BYTES
from ahstore.packs.format import RECORD_BYTES
from benchmarks.runner import say
from benchmarks.versions_of_data import MADE

KIB, MB = 1024, 1e6
SIZES_KIB = (64, 128, 256, 512, 1024)
BLOCK_BYTES = 2**20
RELEASES = {
    "numpy": ("2.3.4", "2.3.5"),
    "scipy": ("1.16.2", "1.16.3"),
    "scikit-learn": ("1.7.1", "1.7.2"),
    "lightgbm": ("4.5.0", "4.6.0"),
    "pyarrow": ("23.0.0", "23.0.1"),
    "opencv-python-headless": ("4.12.0.88", "4.13.0.90"),
}


@dataclass
class Cost:
    """What one version adds to what is there.

    Attributes:
        read: its bytes.
        files: how many it has.
        new: bytes of chunks that were not there.
        stored: of these, compressed.
        chunks: how many of them.
        refs: how many chunks its files name.
        seconds: of CPU, reading left out.
    """

    read: int = 0
    files: int = 0
    new: int = 0
    stored: int = 0
    chunks: int = 0
    refs: int = 0
    seconds: float = 0.0


@dataclass
class Store:
    """The addresses that there are."""

    cutter: Cutter
    known: set[bytes] = field(default_factory=set)

    def add(self, folder: Path) -> Cost:
        """Add a version's files, sorted by path."""
        cost = Cost()
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            data = path.read_bytes()
            started = time.process_time()
            self._add(data, cost)
            cost.seconds += time.process_time() - started
        return cost

    def _add(self, data: bytes, cost: Cost) -> None:
        cost.read += len(data)
        cost.files += 1
        view = memoryview(data)
        ends = self.cutter.boundaries(lambda at, length: data[at : at + length], len(data))
        blocks = (view[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES))
        for chunk in self.cutter.cut(blocks, ends):
            address = sha256(chunk)
            cost.refs += 1
            if address not in self.known:
                self.known.add(address)
                packed = compress(chunk)
                cost.new += len(chunk)
                cost.stored += len(packed[1]) if packed else len(chunk)
                cost.chunks += 1


def parameters(kib: int) -> CuttingParameters:
    """Return the parameters of a nominal size; the least is a quarter of it, the most four times."""
    nominal = kib * KIB
    return CuttingParameters(nominal=nominal, min=nominal // 4, max=4 * nominal)


def releases(folder: Path, name: str) -> Iterator[tuple[str, Path, Path]]:
    """Fetch two wheels of a package; yield the pair as they come, and unpacked."""
    whole, loose = [], []
    for version in RELEASES[name]:
        wheel = folder / name / version / "wheel"
        wheel.mkdir(parents=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheel)]
        platform = ["--only-binary=:all:", "--python-version", "3.11"]
        subprocess.run([*command, *platform, f"{name}=={version}"], check=True)
        unpacked = folder / name / version / "unpacked"
        with zipfile.ZipFile(next(wheel.iterdir())) as archive:
            archive.extractall(unpacked)
        whole.append(wheel)
        loose.append(unpacked)
    title = f"{name} {' → '.join(RELEASES[name])}"
    yield f"{title}, wheels", *whole
    yield f"{title}, unpacked", *loose


def pairs(folder: Path, wanted: list[str]) -> Iterator[tuple[str, Path, Path]]:
    """Yield title and folders of each pair."""
    for name in wanted:
        if name in RELEASES:
            try:
                yield from releases(folder, name)
            except subprocess.CalledProcessError:
                say(f"{name}: can't be fetched, left out")
        else:
            title, make = MADE[name]
            before, after = folder / name / "before", folder / name / "after"
            before.mkdir(parents=True)
            after.mkdir()
            make(before, after)
            yield title, before, after


def measure(
    sizes: list[int], title: str, before: Path, after: Path
) -> dict[int, tuple[Cost, Cost]]:
    """Return the costs of both versions for each size."""
    found = {}
    for kib in sizes:
        store = Store(Cutter(parameters(kib)))
        found[kib] = store.add(before), store.add(after)
        say(f"{title}, {kib} KiB: {found[kib][1]}")
    return found


Cell = Callable[[Cost, Cost], str]
TABLES: dict[str, Cell] = {
    "MB (10⁶ bytes) that the second version adds, uncompressed": lambda _, b: f"{b.new / MB:.2f}",
    "MB stored for both, compressed": lambda a, b: f"{(a.stored + b.stored) / MB:.2f}",
    "chunks of both": lambda a, b: str(a.chunks + b.chunks),
    "KB of lists and pack indexes for both": lambda a, b: (
        f"{((a.refs + b.refs) * REF_BYTES + (a.chunks + b.chunks) * RECORD_BYTES) / 1000:.1f}"
    ),
    "seconds of CPU for both (cut, SHA-256, compress)": lambda a, b: f"{a.seconds + b.seconds:.2f}",
}


def markdown(found: dict[str, dict[int, tuple[Cost, Cost]]], sizes: list[int]) -> Iterator[str]:
    """Yield the tables' lines."""
    yield "| pair | files | MB of each | sharing saves | compression saves |"
    yield "| --- | --- | --- | --- | --- |"
    for title, costs in found.items():
        a, b = costs[256 if 256 in costs else sizes[0]]
        total, kept = a.read + b.read, a.new + b.new
        shared, packed = 1 - kept / total, 1 - (a.stored + b.stored) / kept
        sides = f"{a.files} / {b.files} | {a.read / MB:.1f} / {b.read / MB:.1f}"
        yield f"| {title} | {sides} | {shared:.1%} | {packed:.1%} |"
    for what, cell in TABLES.items():
        yield f"\n{what}:\n"
        yield f"| pair | {' | '.join(f'{kib} KiB' for kib in sizes)} |"
        yield "| --- |" + " --- |" * len(sizes)
        for title, costs in found.items():
            yield f"| {title} | {' | '.join(cell(*costs[kib]) for kib in sizes)} |"


def main() -> None:
    """Measure."""
    names = [*RELEASES, *MADE]
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", default=",".join(names), help=f"by commas: {', '.join(names)}")
    options.add_argument("--sizes", default=",".join(map(str, SIZES_KIB)), help="nominal, in KiB")
    options.add_argument("--dir", help="where to work, some GB (a temporary folder)")
    args = options.parse_args()
    wanted, sizes = args.pairs.split(","), [int(kib) for kib in args.sizes.split(",")]
    if unknown := set(wanted) - set(names):
        options.error(f"there are no pairs {', '.join(sorted(unknown))}")
    found = {}
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        for title, before, after in pairs(Path(folder), wanted):
            found[title] = measure(sizes, title, before, after)
    print("\n".join(markdown(found, sizes)))


if __name__ == "__main__":
    main()
