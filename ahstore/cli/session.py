"""What one invocation of the command line shares: the store, opened when needed, and messages."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from ahstore.errors import NotFoundError

if TYPE_CHECKING:
    from ahstore.client.config import Settings
    from ahstore.client.store import Store
    from ahstore.versions.monitor import Monitor


class Session:
    """``click``'s context object. Imports below ``cli`` wait until a command needs them."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.quiet = False
        self.now = time.time()
        self._store: Store | None = None

    def info(self, message: str) -> None:
        """Write an ``AH INFO`` line to standard error, unless told to be quiet."""
        if not self.quiet:
            sys.stderr.write(f"AH INFO: {message}\n")
            sys.stderr.flush()

    def settings(self) -> Settings:
        """Return the store and user in force."""
        from ahstore.client.config import load_settings  # start-up

        return load_settings(store=self.url)

    def store(self, *, create: bool = False) -> Store:
        """Open the store in force; ``create`` makes it when there is none yet.

        Raises:
            NotFoundError: there is none, and ``create`` is False.
        """
        if self._store is None:
            from ahstore.client.store import Store  # start-up: brings in all floors below

            settings = self.settings()
            try:
                self._store = Store.open(
                    settings.store, user=settings.user, create=create, notify=self.info
                )
            except NotFoundError:
                raise NotFoundError(
                    f"there is no store at {settings.store} yet: "
                    "'ah create folder model/NAME' or 'ah login URL' makes one",
                    url=settings.store,
                ) from None
        return self._store

    def monitor(self) -> Monitor:
        """Return who shows progress: a bar on a terminal, now and then a line elsewhere."""
        from ahstore.cli.progress import Bar, Lines  # start-up
        from ahstore.versions.monitor import SILENT

        if self.quiet:
            return SILENT
        on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        return Bar() if on_terminal else Lines(self.info)

    def close(self) -> None:
        """Close the store if it was opened."""
        if self._store is not None:
            self._store.close()
            self._store = None


pass_session = click.make_pass_decorator(Session, ensure=True)
