"""A storage that writes down which operations were asked of it: costs are asserted by counting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ahstore.storage.contract import Storage
from ahstore.storage.wrapper import Result, WrappedStorage


class Call(NamedTuple):
    """One operation: its name, its key (or folder), and the bytes it carried either way."""

    op: str
    key: str
    size: int


class RecordingStorage(WrappedStorage):
    """Passes everything on to ``inner`` and keeps ``calls``, in order, failed ones too.

    A file written in parts shows as ``new_file``, ``write``…, ``commit``. ``abort`` is left out:
    a context manager calls it after every ``commit``.
    """

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.calls: list[Call] = []

    def _do(self, op: str, key: str, sent: int, action: Callable[[], Result]) -> Result:
        received = 0
        try:
            result = action()
            received = len(result) if isinstance(result, bytes) else 0
        finally:
            if op != "abort":
                self.calls.append(Call(op, key, sent + received))
        return result

    def count(self, *ops: str, under: str = "") -> int:
        """Return how many operations of these names (of all, if none is named) there were.

        Args:
            ops: names.
            under: only those whose key starts so.
        """
        return sum(self._matches(call, ops, under) for call in self.calls)

    def carried(self, *ops: str, under: str = "") -> int:
        """Return how many bytes these operations carried; arguments as for ``count``."""
        return sum(call.size for call in self.calls if self._matches(call, ops, under))

    def counts(self) -> Counter[str]:
        """Return the number of operations by name."""
        return Counter(call.op for call in self.calls)

    def clear(self) -> None:
        """Forget what was recorded."""
        self.calls.clear()

    @staticmethod
    def _matches(call: Call, ops: tuple[str, ...], under: str) -> bool:
        return (not ops or call.op in ops) and call.key.startswith(under)
