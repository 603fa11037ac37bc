"""A disk that forgets: what a power loss may leave of the system calls that a test has made.

``Recorder`` notes every call on files under a folder, in order. ``Remains`` then builds what can be
there when the power goes after the first ``n`` of them. It is as mean as POSIX allows, and meaner
than ext4: until an fsync of a file its writes may be missing, torn or there, each by itself; until
an fsync of a folder the same holds for each of its entries.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

NAMES = ("open", "write", "fsync", "link", "rename", "mkdir", "unlink", "rmdir", "close")


@dataclass(eq=False)
class File:
    """A file as it was before the recording."""

    base: bytes = b""
    size: int = 0


@dataclass(eq=False)
class Folder:
    """A folder; ``entries`` as a program sees them, ``base`` as they were before the recording."""

    entries: dict[str, File | Folder] = field(default_factory=dict)
    base: dict[str, File | Folder] = field(default_factory=dict)


@dataclass(frozen=True)
class Wrote:
    node: File
    at: int
    data: bytes


@dataclass(frozen=True)
class Named:
    """An entry was set, or removed (``child`` is None)."""

    node: Folder
    name: str
    child: File | Folder | None


@dataclass(frozen=True)
class Synced:
    node: File | Folder


Event = Wrote | Named | Synced


class Recorder:
    """Notes what is done under ``root``; what is there at the start is taken to be durable."""

    def __init__(self, root: Path) -> None:
        self._path = os.path.realpath(root)
        self.root = self._load(self._path)
        self.events: list[Event] = []
        self._fds: dict[int, File | Folder] = {}
        self._lock = threading.RLock()

    def _load(self, path: str) -> Folder:
        entries: dict[str, File | Folder] = {}
        for entry in os.scandir(path):
            if entry.is_dir():
                entries[entry.name] = self._load(entry.path)
            else:
                data = Path(entry.path).read_bytes()
                entries[entry.name] = File(data, len(data))
        return Folder(dict(entries), entries)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note what is done in the block, by any thread."""

        def replaced(name: str) -> Callable:
            real = getattr(os, name)
            note = getattr(self, f"_note_{name}")

            def call(*args, **kwargs):
                with self._lock:
                    before = self._before(name, args)
                    result = real(*args, **kwargs)
                    note(before, result, *args, **kwargs)
                    return result

            return call

        with mock.patch.multiple(os, **{name: replaced(name) for name in NAMES}):
            yield

    def _before(self, name: str, args: tuple) -> bool:
        """Tell whether the path to open is there already."""
        return name == "open" and isinstance(args[0], str) and os.path.lexists(args[0])

    def _find(self, path: str) -> tuple[Folder, str] | None:
        path = os.path.normpath(path)
        if not path.startswith(self._path + "/"):
            return None
        *folders, name = path[len(self._path) + 1 :].split("/")
        node: File | Folder = self.root
        for part in folders:
            assert isinstance(node, Folder)
            node = node.entries[part]
        assert isinstance(node, Folder)
        return node, name

    def _name(self, path: str, child: File | Folder | None) -> None:
        found = self._find(path)
        if found is None:
            return
        folder, name = found
        if child is None:
            del folder.entries[name]
        else:
            folder.entries[name] = child
        self.events.append(Named(folder, name, child))

    def _note_open(self, there, fd, path, flags, mode=0o777, *, dir_fd=None) -> None:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            self._fds[fd] = File()
            return
        path = os.fsdecode(path)
        if path == self._path:
            self._fds[fd] = self.root
            return
        found = self._find(path)
        if found is None:
            return
        if flags & os.O_CREAT and not there:
            self._name(path, File())
        self._fds[fd] = found[0].entries[found[1]]

    def _note_write(self, _before, written: int, fd: int, data) -> None:
        node = self._fds.get(fd)
        if isinstance(node, File):
            done = bytes(memoryview(data).cast("B")[:written])
            self.events.append(Wrote(node, node.size, done))
            node.size += written

    def _note_fsync(self, _before, _result, fd: int) -> None:
        if fd in self._fds:
            self.events.append(Synced(self._fds[fd]))

    def _note_link(
        self, _before, _result, src, dst, *, dst_dir_fd=None, follow_symlinks=True
    ) -> None:
        folder = self._fds.get(dst_dir_fd)
        if src.startswith("/proc/self/fd/"):
            node = self._fds[int(src.rsplit("/", 1)[1])]
        else:
            found = self._find(src)
            assert found is not None
            node = found[0].entries[found[1]]
        if isinstance(folder, Folder):
            folder.entries[dst] = node
            self.events.append(Named(folder, dst, node))

    def _note_rename(self, _before, _result, src, dst) -> None:
        found = self._find(src)
        if found is not None:
            node = found[0].entries[found[1]]
            self._name(dst, node)
            self._name(src, None)

    def _note_mkdir(self, _before, _result, path, mode=0o777) -> None:
        self._name(path, Folder())

    def _note_unlink(self, _before, _result, path, *, dir_fd=None) -> None:
        if dir_fd is None:
            self._name(path, None)
            return
        folder = self._fds.get(dir_fd)
        if isinstance(folder, Folder):
            del folder.entries[path]
            self.events.append(Named(folder, path, None))

    def _note_rmdir(self, _before, _result, path) -> None:
        self._name(path, None)

    def _note_close(self, _before, _result, fd: int) -> None:
        self._fds.pop(fd, None)


Fate = Callable[[Event], float]
"""How much of an unsynced event survives: 0 nothing, 1 all, between: the first part of a write."""


def all_lost(_event: Event) -> float:
    return 0.0


def all_kept(_event: Event) -> float:
    return 1.0


def only_names(event: Event) -> float:
    """Names without what is in them: the classic empty file after a power loss."""
    return 1.0 if isinstance(event, Named) else 0.0


def by_chance(seed: int) -> Fate:
    chance = random.Random(seed)
    return lambda _event: chance.choice((0.0, 0.0, 1.0, 1.0, chance.random()))


def remains(recorder: Recorder, count: int, fate: Fate, target: Path) -> None:
    """Write what is left when the power goes after ``count`` events into the new folder ``target``."""
    events = recorder.events[:count]
    last_sync: dict[int, int] = {
        id(e.node): n for n, e in enumerate(events) if isinstance(e, Synced)
    }
    entries: dict[int, dict[str, File | Folder]] = {}
    bodies: dict[int, bytearray] = {}
    for number, event in enumerate(events):
        if isinstance(event, Synced):
            continue
        kept = 1.0 if number < last_sync.get(id(event.node), -1) else fate(event)
        if isinstance(event, Named):
            if kept >= 0.5:
                names = entries.setdefault(id(event.node), dict(event.node.base))
                if event.child is None:
                    names.pop(event.name, None)
                else:
                    names[event.name] = event.child
        elif kept:
            body = bodies.setdefault(id(event.node), bytearray(event.node.base))
            part = event.data[: max(1, int(len(event.data) * kept))]
            body.extend(bytes(max(0, event.at - len(body))))  # a hole where a write is missing
            body[event.at : event.at + len(part)] = part

    def build(folder: Folder, path: Path) -> None:
        path.mkdir()
        for name, child in entries.get(id(folder), folder.base).items():
            if isinstance(child, Folder):
                build(child, path / name)
            else:
                (path / name).write_bytes(bodies.get(id(child), child.base))

    build(recorder.root, target)
