"""What kind of file system a path is on: may LMDB live there, how fine are its time stamps."""

from __future__ import annotations

import os
import re
from functools import lru_cache

_REMOTE = frozenset(
    [
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fhgfs",
        "fuse",
        "gfs2",
        "gpfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
    ]
)
_FINE = frozenset(["bcachefs", "btrfs", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"])
_OCTAL = re.compile(r"\\([0-7]{3})")


def is_local(path: str) -> bool:
    """Say whether ``path`` is on a file system of this machine, whose locks and maps hold."""
    kind = file_system(os.stat(path).st_dev)
    return kind is None or not (kind in _REMOTE or kind.startswith("fuse."))


def has_fine_times(device: int) -> bool:
    """Say whether files on this device are known to be stamped by the kernel's own ticks."""
    return file_system(device) in _FINE


@lru_cache(maxsize=256)
def file_system(device: int) -> str | None:
    """Return the type of the file system with this device number, as the kernel calls it."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
            return find_type(lines.read(), device)
    except OSError:
        return None


def find_type(mountinfo: str, device: int) -> str | None:
    """Return the type that the text of ``/proc/self/mountinfo`` gives to a device."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        parts = fields.split(" ")
        if len(parts) > 2 and parts[2] == number and rest:
            return _OCTAL.sub(lambda m: chr(int(m.group(1), 8)), rest.split(" ")[0])
    return None
