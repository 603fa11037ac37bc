"""Cutting a stream where its content says so, so that equal content gives equal chunks.

FastCDC (2020, with cut-point skipping and normalized chunking), whose parameters stand in
``store.json``: with others the same bytes are cut elsewhere and nothing is shared. The work is done
by pyfastcdc's compiled form, which is the only one accepted: its fallback is 100 times slower.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
        min: no chunk is shorter, but the last of a file.
        max: no chunk is longer.
        normalization: 0 to 3, how closely sizes keep to the nominal one.
    """

    nominal: int = 262_144
    min: int = 65_536
    max: int = 1_048_576
    normalization: int = 2

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

    def to_value(self) -> dict[str, Any]:
        """Return what ``store.json`` says of cutting."""
        return {
            "algorithm": ALGORITHM,
            "nominal": self.nominal,
            "min": self.min,
            "max": self.max,
            "normalization": self.normalization,
        }

    @staticmethod
    def from_value(value: object) -> CuttingParameters:
        """Return the parameters that ``store.json`` names.

        Raises:
            UnsupportedError: another algorithm.
            CorruptError: nonsense.
        """
        if not isinstance(value, dict) or not isinstance(value.get("algorithm"), str):
            raise CorruptError("the store does not say how files are cut")
        if value["algorithm"] != ALGORITHM:
            raise UnsupportedError(f"the store cuts files by {value['algorithm']!r}")
        sizes: dict[str, Any] = {
            name: value.get(name) for name in ("nominal", "min", "max", "normalization")
        }
        if set(value) != {"algorithm", *sizes} or any(type(v) is not int for v in sizes.values()):
            raise CorruptError(f"the store's parameters for cutting make no sense: {value}")
        try:
            return CuttingParameters(**sizes)
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

    def lengths(self, buffer: bytes | memoryview) -> list[int]:
        """Return the lengths of the chunks of a whole file held in ``buffer``."""
        return [len(chunk) for chunk in self._cut_whole(self._engine(), memoryview(buffer))]

    def cut(self, blocks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """Yield the chunks of the file whose bytes come in ``blocks`` of any sizes.

        Holds the block at hand and less than ``max`` bytes of earlier ones. A chunk may be a view
        of a block: who reuses a block's memory must be done with its chunks before the next one.

        Raises:
            UnsupportedError: pyfastcdc is there only in its slow form.
        """
        engine = self._engine()
        most = self.params.max
        rest: list[bytes] = []
        held = 0
        for block in blocks:
            view = memoryview(block).cast("B")
            if held + len(view) < most:
                rest.append(bytes(view))
                held += len(view)
                continue
            at = 0
            if held:
                # Chunks that start in the rest end in the rest or in as much of the block as here.
                joined = memoryview(b"".join([*rest, view[:most]]))
                for chunk in self._sure_chunks(engine, joined):
                    if at >= held:
                        break
                    yield chunk
                    at += len(chunk)
                if at < held:  # the block was short, and is in there whole
                    rest, held = [bytes(joined[at:])], len(joined) - at
                    continue
                view = view[at - held :]
            at = 0
            for chunk in self._sure_chunks(engine, view):
                yield chunk
                at += len(chunk)
            rest, held = [bytes(view[at:])], len(view) - at
        yield from self._cut_whole(engine, memoryview(b"".join(rest)))

    def _cut_whole(self, engine: FastCDC, view: memoryview) -> Iterator[memoryview]:
        if len(view):
            at = 0
            for chunk in engine.cut_buf(view):
                yield view[at : at + chunk.length]
                at += chunk.length

    def _sure_chunks(self, engine: FastCDC, view: memoryview) -> Iterator[memoryview]:
        """Yield leading chunks that stay the same whatever follows ``view``.

        A cut before the end was told by the bytes before it; one at the end is none, unless the
        chunk could not have become longer.
        """
        at = 0
        for chunk in self._cut_whole(engine, view):
            at += len(chunk)
            if at == len(view) and len(chunk) < self.params.max:
                return
            yield chunk

    def _engine(self) -> FastCDC:
        params = self.params
        return _load()(
            params.nominal,
            min_size=params.min,
            max_size=params.max,
            normalized_chunking=params.normalization,  # type: ignore[arg-type]
        )


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
