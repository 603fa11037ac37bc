"""Cutting a stream where its content says so, so that equal content gives equal chunks.

FastCDC (2020, with cut-point skipping and normalized chunking), whose parameters stand in
``store.json``: with others the same bytes are cut elsewhere and nothing is shared. The work is done
by pyfastcdc's compiled form, which is the only one accepted: its fallback is 100 times slower.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ahstore.chunks.boundaries import RULE as FORMATS
from ahstore.chunks.boundaries import boundaries as find_boundaries
from ahstore.chunks.formats.reading import ReadAt
from ahstore.errors import CorruptError, InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

ALGORITHM = "fastcdc-2020"
_BOUNDS = {"nominal": (256, 2**22), "min": (64, 2**20), "max": (1024, 2**24)}


@dataclass(frozen=True, slots=True)
class CuttingParameters:
    """Sizes in bytes; the mean of what comes out is about 1.13 times ``nominal``.

    Attributes:
        nominal: where cutting becomes likely, a power of two.
        min: no chunk is shorter, but before an end: the file's, or that of one of its parts.
        max: no chunk is longer.
        normalization: 0 to 3, how closely sizes keep to the nominal one.
        formats: which rule tells the parts of a file, 0 for none. It belongs to the store, as a
            file's references, by which versions are compared, follow from it.
    """

    nominal: int = 262_144
    min: int = 65_536
    max: int = 1_048_576
    normalization: int = 2
    formats: int = FORMATS

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise InvalidInputError(f"the {name} size of chunks must be {low} to {high}")
        if self.nominal & (self.nominal - 1):
            raise InvalidInputError("the nominal size of chunks must be a power of two")
        if not self.min < self.nominal < self.max:
            raise InvalidInputError("sizes of chunks must be min < nominal < max")
        if self.normalization not in (0, 1, 2, 3):
            raise InvalidInputError("normalization must be 0 to 3")
        if self.formats not in (0, FORMATS):
            raise InvalidInputError(f"formats must be 0 or {FORMATS}")

    def to_value(self) -> dict[str, Any]:
        """Return what ``store.json`` says of cutting."""
        return {
            "algorithm": ALGORITHM,
            "nominal": self.nominal,
            "min": self.min,
            "max": self.max,
            "normalization": self.normalization,
            "formats": self.formats,
        }

    @staticmethod
    def from_value(value: object) -> CuttingParameters:
        """Return the parameters that ``store.json`` names.

        Raises:
            UnsupportedError: another algorithm, or a later rule of parts.
            CorruptError: nonsense.
        """
        if not isinstance(value, dict) or not isinstance(value.get("algorithm"), str):
            raise CorruptError("the store does not say how files are cut")
        if value["algorithm"] != ALGORITHM:
            raise UnsupportedError(f"the store cuts files by {value['algorithm']!r}")
        names = ("nominal", "min", "max", "normalization", "formats")
        numbers: dict[str, Any] = {"formats": 0, **value}  # stores from before it have none
        del numbers["algorithm"]
        if set(numbers) != {*names} or any(type(v) is not int for v in numbers.values()):
            raise CorruptError(f"the store's parameters for cutting make no sense: {value}")
        if numbers["formats"] > FORMATS:
            raise UnsupportedError("the store cuts files by a later rule: upgrade ahstore")
        try:
            return CuttingParameters(**numbers)
        except InvalidInputError as error:
            raise CorruptError(f"the store's parameters for cutting: {error}") from error


class Cutter:
    """Cuts by given parameters. Threads may share one."""

    def __init__(self, params: CuttingParameters) -> None:
        self.params = params

    @property
    def smallest(self) -> int:
        """Up to this many bytes a file is one chunk for certain, so there is nothing to cut."""
        return self.params.min

    def boundaries(self, read_at: ReadAt, size: int) -> Sequence[int]:
        """Return what to give to :meth:`cut` for a file of ``size`` bytes, see there.

        Args:
            read_at: ``read_at(offset, length)`` gives that many bytes of the file, or fewer at
                its end; what it raises is passed on.
            size: in bytes.
        """
        if self.params.formats == 0 or size <= self.smallest:
            return ()
        return find_boundaries(read_at, size)

    def lengths(self, buffer: bytes | memoryview) -> list[int]:
        """Return the lengths of the chunks of a whole file held in ``buffer``."""
        return [len(chunk) for chunk in self.cut([buffer])]

    def cut(
        self, blocks: Iterable[bytes | memoryview], boundaries: Sequence[int] = ()
    ) -> Iterator[bytes | memoryview]:
        """Yield the chunks of the file whose bytes come in ``blocks`` of any sizes.

        Holds the block at hand and less than ``max`` bytes of earlier ones. A chunk may be a view
        of a block: who reuses a block's memory must be done with its chunks before the next one.

        Args:
            blocks: the file's bytes.
            boundaries: where the file's parts end, see :meth:`boundaries`. A chunk ends at those beside a part of at least ``min`` bytes: many small parts do
                not make small chunks, and a change is felt in its own part and the next to it.

        Raises:
            UnsupportedError: pyfastcdc is there only in its slow form.
        """
        segment = _Segment(self._engine(), self.params.max)
        for part, is_last in _parts(blocks, _ends(boundaries, self.params.min)):
            yield from segment.take(part, is_last=is_last)
        yield from segment.take(memoryview(b""), is_last=True)

    def feed(self) -> Feed:
        """Return what cuts a file whose bytes are handed to it; without boundaries of parts."""
        return Feed(_Segment(self._engine(), self.params.max))

    def _engine(self) -> FastCDC:
        params = self.params
        return _load()(
            params.nominal,
            min_size=params.min,
            max_size=params.max,
            normalized_chunking=params.normalization,  # type: ignore[arg-type]
        )


class Feed:
    """Cuts as :meth:`Cutter.cut` does, but is handed the blocks. Holds less than ``max`` bytes."""

    def __init__(self, segment: _Segment) -> None:
        self._segment = segment

    def add(self, block: bytes | memoryview) -> Iterator[memoryview]:
        """Yield the chunks that are sure now. To be used up before the next block."""
        return self._segment.take(memoryview(block).cast("B"), is_last=False)

    def end(self) -> Iterator[memoryview]:
        """Yield the last chunks."""
        return self._segment.take(memoryview(b""), is_last=True)


def _ends(boundaries: Sequence[int], long: int) -> list[int]:
    """Return the boundaries beside a part of at least ``long`` bytes."""
    edges = sorted({at for at in boundaries if at > 0})
    # What follows the last one, which is the end of the file, counts as short.
    around = zip([0, *edges], edges, [*edges[1:], *edges[-1:]], strict=False)
    return [at for before, at, after in around if max(at - before, after - at) >= long]


def _parts(
    blocks: Iterable[bytes | memoryview], ends: Sequence[int]
) -> Iterator[tuple[memoryview, bool]]:
    """Yield the blocks, split at ``ends``, and whether there is one where each stops."""
    at = index = 0
    for block in blocks:
        view = memoryview(block).cast("B")
        while index < len(ends) and ends[index] <= at + len(view):
            length = ends[index] - at
            yield view[:length], True
            view = view[length:]
            at += length
            index += 1
        yield view, False
        at += len(view)


class _Segment:
    """The bytes from one end to the next, cut by content as if they were a file."""

    def __init__(self, engine: FastCDC, most: int) -> None:
        self._engine = engine
        self._most = most
        self._rest: list[bytes] = []
        self._held = 0  # bytes in the rest: less than most

    def take(self, view: memoryview, *, is_last: bool) -> Iterator[memoryview]:
        """Yield the chunks that are sure now; all of them with the segment's last bytes."""
        if not is_last and self._held + len(view) < self._most:
            self._keep(view)
            return
        if self._held:
            held, self._held = self._held, 0
            # A chunk that starts in the rest ends in the rest or in as much of the view as here.
            joined = memoryview(b"".join([*self._rest, view[: self._most]]))
            self._rest = []
            if is_last and len(view) <= self._most:
                yield from self._all_chunks(joined)
                return
            at = 0
            for chunk in self._sure_chunks(joined):
                if at >= held:
                    break
                yield chunk
                at += len(chunk)
            if at < held:  # the view was short, and is in there whole
                self._keep(joined[at:])
                return
            view = view[at - held :]
        at = 0
        for chunk in self._all_chunks(view) if is_last else self._sure_chunks(view):
            yield chunk
            at += len(chunk)
        self._keep(view[at:])

    def _keep(self, view: memoryview) -> None:
        if len(view):
            self._rest.append(bytes(view))
            self._held += len(view)

    def _all_chunks(self, view: memoryview) -> Iterator[memoryview]:
        if len(view):
            at = 0
            for chunk in self._engine.cut_buf(view):
                yield view[at : at + chunk.length]
                at += chunk.length

    def _sure_chunks(self, view: memoryview) -> Iterator[memoryview]:
        """Yield leading chunks that stay the same whatever follows ``view``.

        A cut before the end was told by the bytes before it; one at the end is none, unless the
        chunk could not have become longer.
        """
        at = 0
        for chunk in self._all_chunks(view):
            at += len(chunk)
            if at == len(view) and len(chunk) < self._most:
                return
            yield chunk


def _load() -> type[FastCDC]:
    # Imported when something is cut: it takes 40 ms, as long as all else of a small command.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its warning of the fallback: refused below
        from pyfastcdc import FastCDC
    if not FastCDC.__module__.startswith("pyfastcdc.cy"):
        raise UnsupportedError(
            "pyfastcdc is installed without its compiled module: reinstall it from a wheel, or"
            " with PYFASTCDC_REQUIRE_CYTHON=1"
        )
    return FastCDC
