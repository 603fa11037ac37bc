"""Several actors on one simulated storage, of which exactly one moves at a time (M1).

Each actor runs the real code in a thread of its own and stops before every operation by which
actors can affect one another; a plan says who goes on. An actor may be killed at such a point:
from then on nothing that it does reaches the storage. Same plan, same run.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ahstore.storage.contract import Storage
from ahstore.storage.lease_record import LeaseRecord
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.wrapper import Result, WrappedStorage

STEP_SECONDS = 20.0

VISIBLE = frozenset(("create", "commit", "delete", "hollow", "exists", "list", "newest_version"))


class KilledError(BaseException):
    """The actor has been killed; whatever it tries fails."""


class Actor:
    """Runs ``work`` in a thread, a step at a time."""

    def __init__(
        self, name: str, work: Callable[[], object], storage: SimulatedStorage | None = None
    ) -> None:
        self.name = name
        self.storage = storage
        self.at = "start"
        self.steps = 0
        self.done = False
        self.killed = False
        self.waits = False
        self.result: object = None
        self.error: BaseException | None = None
        self._work = work
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Go on to the next point where it stops."""
        self.steps += 1
        self.waits = False
        self._go.release()
        assert self._stopped.acquire(timeout=STEP_SECONDS), f"{self.name} hangs at {self.at}"

    def stop_here(self, at: str) -> None:
        """Called in the actor's thread: wait to be let on."""
        if self.killed:
            raise KilledError
        self.at = at
        self._stopped.release()
        self._go.acquire()
        if self.killed:
            raise KilledError

    def _run(self) -> None:
        self._go.acquire()
        _LOCAL.actor = self
        try:
            if not self.killed:
                self.result = self._work()
        except BaseException as error:
            self.error = error
        self.done = True
        self._stopped.release()

    def finish(self) -> None:
        """Let a killed actor's thread come to its end."""
        while not self.done:
            self.step()


class _Local(threading.local):
    actor: Actor | None = None


_LOCAL = _Local()


def current() -> Actor | None:
    """Return the actor whose thread this is."""
    return _LOCAL.actor


class SimulatedStorage(WrappedStorage):
    """Stops the actors, and knows which lease is whose."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.holders: dict[str, Actor] = {}
        self.slandered: set[Actor] = set()
        """Actors who are held for dead although they live."""
        self.log: list[str] = []

    def _do(self, op: str, key: str, sent: int, action: Callable[[], Result]) -> Result:
        actor = current()
        if actor is None:
            return action()
        if op in VISIBLE:
            actor.stop_here(f"{op} {key}")
            self.log.append(f"{actor.name}: {op} {key}")
        elif actor.killed:
            raise KilledError
        if op == "create" and key.startswith("cells/lease/"):
            self.holders.setdefault(key.split("/")[2], actor)
        return action()

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Courtesy locks would only hide races."""
        yield

    def is_dead(self, record: LeaseRecord) -> bool:
        """Tell whether a lease's holder was killed."""
        holder = self.holders.get(record.id)
        return holder is not None and (holder.killed or holder in self.slandered)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """List all cells key by key: each time the next one as things are then."""
        if prefix != "cells/" or current() is None:
            return super().list(prefix, after=after, limit=limit)
        return self._list_slowly(prefix, after)

    def _list_slowly(self, prefix: str, after: str) -> Iterator[str]:
        while True:
            key = next(iter(super().list(prefix, after=after, limit=1)), None)
            if key is None:
                return
            yield key
            after = key


def pause(_seconds: float) -> None:
    """What actors do instead of sleeping: wait until someone else has moved."""
    actor = current()
    if actor is not None:
        actor.waits = True
        actor.stop_here("pause")


@dataclass
class Schedule:
    """Who moves when: ``turns`` says how far each goes before the next, then all in order.

    Attributes:
        turns: (number of the actor, steps); what is left is run in the order of the actors.
        kills: (number of the actor, step at which it is killed).
    """

    turns: Sequence[tuple[int, int]]
    kills: Sequence[tuple[int, int]] = ()

    def run(self, actors: Sequence[Actor]) -> None:
        """Run all actors to their ends."""
        for number, steps in self.turns:
            self._move(actors, number, steps)
        for _ in range(1000):
            left = [n for n, actor in enumerate(actors) if not actor.done]
            if not left:
                return
            # Those who only wait let the others go first.
            ready = [n for n in left if not actors[n].waits] or left
            self._move(actors, ready[0], 1_000_000)
            for actor in actors:
                actor.waits = actor.waits and actor is not actors[ready[0]]
        raise AssertionError(f"no end: {[(actor.name, actor.at) for actor in actors]}")

    def _move(self, actors: Sequence[Actor], number: int, steps: int) -> None:
        actor = actors[number]
        for _ in range(steps):
            if actor.done or actor.waits:
                break
            if (number, actor.steps) in self.kills:
                actor.killed = True
                actor.finish()
                break
            actor.step()
        for other in actors:
            if other is not actor:
                other.waits = False


@dataclass(frozen=True)
class Turn:
    """A turn of a script.

    Attributes:
        actor: its number.
        until: it stops before the first operation whose text holds this; None: it goes to its end,
            or until it waits.
        killed: it is killed there.
        slandered: from then on it is held for dead.
        patient: it goes on where it would wait.
        maybe: it may come to its end before.
    """

    actor: int
    until: str | None = None
    killed: bool = False
    slandered: bool = False
    patient: bool = False
    maybe: bool = False


@dataclass
class Script:
    """Exactly these turns; what is left is run in the order of the actors."""

    turns: Sequence[Turn]

    def run(self, actors: Sequence[Actor]) -> None:
        """Run all actors to their ends."""
        for turn in self.turns:
            actor = actors[turn.actor]
            actor.waits = False
            while not actor.done and (turn.patient or not actor.waits):
                if turn.until is not None and turn.until in actor.at:
                    break
                actor.step()
            if turn.until is not None and not (turn.maybe and actor.done):
                assert turn.until in actor.at, f"{actor.name} never comes to {turn.until!r}"
            if turn.slandered and actor.storage is not None:
                actor.storage.slandered.add(actor)
            if turn.killed:
                actor.killed = True
                actor.finish()
        Schedule(()).run(actors)


@dataclass
class Random:
    """Moves a random actor a random number of steps, again and again; may kill some."""

    seed: int
    kill: float = 0.0
    log: list[tuple[int, int]] = field(default_factory=list)

    def run(self, actors: Sequence[Actor]) -> None:
        """Run all actors to their ends."""
        choose = random.Random(self.seed)
        doomed = {n for n in range(len(actors)) if choose.random() < self.kill}
        for _ in range(100_000):
            left = [n for n, actor in enumerate(actors) if not actor.done]
            if not left:
                return
            ready = [n for n in left if not actors[n].waits] or left
            number = choose.choice(ready)
            actor = actors[number]
            for _ in range(choose.choice((1, 1, 2, 3, 5, 8, 13, 30))):
                if actor.done:
                    break
                if number in doomed and choose.random() < 0.02:
                    actor.killed = True
                    actor.finish()
                    break
                actor.step()
                if actor.waits:
                    break
            for other in actors:
                if other is not actor:
                    other.waits = False
        raise AssertionError("no end")


def snapshot(storage: MemoryStorage) -> dict[str, tuple[bytes, float]]:
    """Return what a memory storage holds."""
    return dict(storage._files)


def restore(files: dict[str, tuple[bytes, float]]) -> MemoryStorage:
    """Return a memory storage that holds this."""
    storage = MemoryStorage()
    storage._files = dict(files)
    return storage
