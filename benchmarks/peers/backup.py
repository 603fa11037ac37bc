"""Backup tools with deduplication: borg, restic, casync. A repository for each workload."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.tool import Tool, quoted
from benchmarks.workloads import Data

_NAMES = ("many", "cold", "large", "tiny")
# What each row backs up: repository, and attribute of the data.
_SAVED = {
    "W1": ("many", "many"),
    "W1c": ("cold", "many"),
    "W2": ("large", "before"),
    "W3": ("large", "after"),
    "W4": ("many", "many"),
    "W5": ("many", "many"),
    "W5c": ("many", "many"),
    "W9": ("tiny", "tiny"),
    "W9b": ("tiny", "tiny"),
}


def find_borg() -> bool:
    """Say whether borg is installed."""
    return shutil.which("borg") is not None


def find_restic() -> bool:
    """Say whether restic is installed."""
    return shutil.which("restic") is not None


def find_casync() -> bool:
    """Say whether casync is installed."""
    return shutil.which("casync") is not None


def borg(folder: Path, data: Data) -> Tool:
    """Make borg, without encryption; status is a backup of what has not changed."""

    def repository(name: str) -> str:
        return str(folder / "store" / name)

    saved = {
        row: f"cd {quoted(getattr(data, source))} && borg create {quoted(repository(name))}::{row} ."
        for row, (name, source) in _SAVED.items()
    }
    return Tool(
        name="borg",
        folder=folder,
        stored=folder / "store",
        set_up=["mkdir store", *(f"borg init -e none {quoted(repository(n))}" for n in _NAMES)],
        lines={
            "help": "borg --help",
            **saved,
            "W6": f"mkdir out && cd out && borg extract {quoted(repository('many'))}::W4",
            "W6b": f"mkdir outbig && cd outbig && borg extract {quoted(repository('large'))}::W3",
            "W7": f"borg list {quoted(repository('many'))}::W4",
        },
        env={
            "BORG_BASE_DIR": str(folder / "home"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        },
    )


def restic(folder: Path, data: Data) -> Tool:
    """Make restic; status is a backup of what has not changed."""

    def program(name: str) -> str:
        return quoted("restic", "-q", "-r", folder / "store" / name)

    saved = {
        row: f"cd {quoted(getattr(data, source))} && {program(name)} backup ."
        for row, (name, source) in _SAVED.items()
    }
    return Tool(
        name="restic",
        folder=folder,
        stored=folder / "store",
        set_up=["mkdir store", *(f"{program(name)} init" for name in _NAMES)],
        lines={
            "help": "restic --help",
            **saved,
            "W6": f"{program('many')} restore latest --target out",
            "W6b": f"{program('large')} restore latest --target outbig",
            "W7": f"{program('many')} ls -l latest",
        },
        env={"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(folder / "cache")},
    )


def casync(folder: Path, data: Data) -> Tool:
    """Make casync, which keeps no versions: an index file for each row over a shared store."""

    def program(verb: str, name: str) -> str:
        return quoted("casync", verb, f"--store={folder / 'store' / name}", "--with=2sec-time")

    saved = {
        row: f"{program('make', name)} {quoted(folder / 'store' / f'{row}.caidx', getattr(data, source))}"
        for row, (name, source) in _SAVED.items()
        if name != "tiny"
    }
    return Tool(
        name="casync",
        folder=folder,
        stored=folder / "store",
        set_up=["mkdir store"],
        lines={
            "help": "casync --help",
            **saved,
            "W6": f"{program('extract', 'many')} store/W4.caidx out",
            "W6b": f"{program('extract', 'large')} store/W3.caidx outbig",
            "W7": "casync mtree store/W4.caidx --store=store/many",
        },
    )
