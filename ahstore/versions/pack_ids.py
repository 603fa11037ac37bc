"""Ids for a process's new packs: random, in one folder for a while.

The first pack in a folder costs a sync of the folder above it, so a busy process stays in one.
"""

from __future__ import annotations

import secrets

from ahstore.ids import PackId, new_pack_id

PACKS_IN_FOLDER = 512


class PackIds:
    """Draws ids; threads may share it, for it does no harm if a folder gets a few more."""

    def __init__(self) -> None:
        self._folder = ""
        self._left = 0

    def draw(self) -> PackId:
        """Return a new id."""
        if self._left <= 0:
            self._folder, self._left = secrets.token_hex(1), PACKS_IN_FOLDER
        self._left -= 1
        return new_pack_id(self._folder)
