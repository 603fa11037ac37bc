"""What every object of a store shares: the floors below, who acts, and where messages go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ahstore.errors import InvalidInputError
from ahstore.hub.hub import Hub
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository

if TYPE_CHECKING:
    from ahstore.jobs.jobs import Jobs

Notify = Callable[[str], None]


def silent(message: str) -> None:
    """Take a message and say nothing."""


@dataclass(slots=True)
class Core:
    """A store, opened for one user. ``notify`` gets one line for each thing that is done."""

    repo: Repository
    hub: Hub
    refs: Refs
    user: str
    runs_dir: str
    store_url: str
    notify: Notify
    _jobs: Jobs | None = None

    @property
    def jobs(self) -> Jobs:
        """Train and evaluate runs of this store."""
        if self._jobs is None:
            from ahstore.client.engines import load_engine_settings  # start-up: most start no run
            from ahstore.jobs.jobs import Jobs

            self._jobs = Jobs(
                self.hub,
                runs_root=self.runs_dir,
                store_url=self.store_url,
                notify=self.notify,
                engines=load_engine_settings(),
            )
        return self._jobs


def check_sequence(value: object, what: str) -> list[str]:
    """Return a sequence of strings as a list, refusing the classic mistake of a bare string.

    Raises:
        InvalidInputError: it is a string, or holds something else than strings.
    """
    if value is None:
        return []
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise InvalidInputError(f"{what} must be a list of strings, not {value!r}")
    items = list(value)
    for item in items:
        if not isinstance(item, str):
            raise InvalidInputError(f"{what} must be a list of strings; {item!r} is none")
    return items
