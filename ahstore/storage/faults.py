"""A storage that fails, loses replies or stops where a script says: for tests of what then holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ahstore.errors import StorageError
from ahstore.storage.contract import Storage, UnsettledError
from ahstore.storage.wrapper import Result, WrappedStorage

ErrorMaker = Callable[[str], BaseException]


@dataclass(slots=True)
class Fault:
    """One line of the script. ``hits`` counts how often it came true."""

    op: str
    under: str
    after: bool
    skip: int
    times: int
    strike: Callable[[str], None]
    hits: int = field(default=0)

    def takes(self, op: str, key: str, *, after: bool) -> bool:
        """Tell whether this operation is one that the fault strikes, and count it."""
        if self.op not in (op, "*") or self.after is not after or not key.startswith(self.under):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.hits >= self.times:
            return False
        self.hits += 1
        return True


class FaultyStorage(WrappedStorage):
    """Passes everything on to ``inner`` but for the faults that were added.

    In each method ``op`` is the name of an operation as in ``WrappedStorage`` (``"*"``: any),
    ``under`` the start of the keys concerned, ``skip`` how many of those pass first, and
    ``times`` how many are struck then.
    """

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._faults: list[Fault] = []
        self._guard = threading.Lock()

    def fail(
        self,
        op: str,
        error: BaseException | ErrorMaker | None = None,
        *,
        under: str = "",
        skip: int = 0,
        times: int = 1,
    ) -> Fault:
        """Raise ``error`` in place of the operation (a ``StorageError`` by default)."""
        return self._add(op, under, skip, times, _raising(error, _broken), after=False)

    def lose_reply(
        self,
        op: str,
        error: BaseException | ErrorMaker | None = None,
        *,
        under: str = "",
        skip: int = 0,
        times: int = 1,
    ) -> Fault:
        """Do the operation and then raise ``error`` (an ``UnsettledError`` by default)."""
        return self._add(op, under, skip, times, _raising(error, _unsettled), after=True)

    def lose_request(self, op: str, *, under: str = "", skip: int = 0, times: int = 1) -> Fault:
        """Do nothing, and raise an ``UnsettledError`` as if it might have been done."""
        return self._add(op, under, skip, times, _raising(None, _unsettled), after=False)

    def pause(
        self,
        op: str,
        callback: Callable[[str], None],
        *,
        under: str = "",
        skip: int = 0,
        times: int = 1,
        after: bool = False,
    ) -> Fault:
        """Call ``callback(key)`` before the operation, or after it; it may do what others do."""
        return self._add(op, under, skip, times, callback, after=after)

    def clear(self) -> None:
        """Forget all faults."""
        with self._guard:
            self._faults.clear()

    def _add(
        self,
        op: str,
        under: str,
        skip: int,
        times: int,
        strike: Callable[[str], None],
        *,
        after: bool,
    ) -> Fault:
        fault = Fault(op=op, under=under, after=after, skip=skip, times=times, strike=strike)
        with self._guard:
            self._faults.append(fault)
        return fault

    def _do(self, op: str, key: str, sent: int, action: Callable[[], Result]) -> Result:  # noqa: ARG002
        self._strike(op, key, after=False)
        result = action()
        self._strike(op, key, after=True)
        return result

    def _strike(self, op: str, key: str, *, after: bool) -> None:
        with self._guard:
            struck = [fault for fault in self._faults if fault.takes(op, key, after=after)]
        for fault in struck:
            fault.strike(key)


def _raising(
    error: BaseException | ErrorMaker | None, default: ErrorMaker
) -> Callable[[str], None]:
    def strike(key: str) -> None:
        if isinstance(error, BaseException):
            raise error
        raise (error or default)(key)

    return strike


def _broken(key: str) -> BaseException:
    return StorageError(f"{key}: injected failure", key=key)


def _unsettled(key: str) -> BaseException:
    return UnsettledError(f"{key}: injected loss of the reply", key=key)
