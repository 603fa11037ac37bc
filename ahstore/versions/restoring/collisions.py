"""Whether a target can hold a commit's paths side by side: equal but for case or normal form.

Only paths that folding changes are remembered, as hashes, so that a million paths need little.
"""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Callable, Iterable

from ahstore.errors import UnsupportedError


def refuse_collisions(folder: str, read_paths: Callable[[], Iterable[str]]) -> None:
    """Refuse paths that this target can't hold side by side.

    Args:
        folder: the target; probed only if there are such paths.
        read_paths: gives the paths, distinct; called once, or up to three times.

    Raises:
        UnsupportedError: names two of them.
    """
    suspects = _suspects(read_paths)
    if not suspects:
        return
    seen: dict[str, str] = {}
    for path in read_paths():
        folded = _fold(path)
        if hash(folded) not in suspects:
            continue
        other = seen.setdefault(folded, path)
        if other != path and _same_place(folder, other, path):
            raise UnsupportedError(
                f"{other!r} and {path!r} would be one file in {folder}: "
                "download to a place that tells their names apart",
                path=path,
            )


def _suspects(read_paths: Callable[[], Iterable[str]]) -> set[int]:
    """Return hashes of folded paths among which are all that two paths share.

    Of two such paths at least one is not its own folded form.
    """
    changed: set[int] = set()
    suspects: set[int] = set()
    for path in read_paths():
        folded = _fold(path)
        if folded != path:
            key = hash(folded)
            (suspects if key in changed else changed).add(key)
    if changed:
        suspects.update(
            key for path in read_paths() if (key := hash(path)) in changed and _fold(path) == path
        )
    return suspects


def _fold(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", path).casefold()


def _same_place(folder: str, one: str, two: str) -> bool:
    """Try, with harmless names, whether the target folds case and normal forms."""
    os.makedirs(folder, exist_ok=True)
    stem = f".ahprobe{secrets.token_hex(4)}"
    pairs = [("a", "A")] if one.casefold() == two.casefold() else [("\u00e9", "e\u0301")]
    for a, b in pairs:
        first = os.path.join(folder, stem + a)
        with open(first, "xb"):
            pass
        try:
            if os.path.lexists(os.path.join(folder, stem + b)):
                return True
        finally:
            os.unlink(first)
    return False
