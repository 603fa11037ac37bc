"""A change of what is said of a folder or an asset: name, labels, description, each if given.

Owns checking and applying it; which catalogue it goes into is the business of ``folders`` and
``assets``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ahstore.hub.catalogue import Changes
from ahstore.hub.labels import check_description, check_labels
from ahstore.hub.payload import make_row
from ahstore.hub.records import Listing
from ahstore.names import check_name
from ahstore.versions.session import WriteSession


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change; None leaves it as it is."""

    name: str | None
    labels: tuple[str, ...] | None
    description: str | None

    @staticmethod
    def check(
        what: str, name: str | None, labels: Iterable[str] | None, description: str | None
    ) -> Edit:
        """Return the edit of a ``what``.

        Raises:
            InvalidInputError: name, labels or description are malformed.
        """
        return Edit(
            None if name is None else check_name(name, what=what),
            None if labels is None else check_labels(labels),
            None if description is None else check_description(description),
        )

    def apply(self, listing: Listing) -> Listing:
        """Return the listing with labels and description changed."""
        return replace(
            listing,
            labels=listing.labels if self.labels is None else self.labels,
            description=listing.description if self.description is None else self.description,
        )

    def changes(
        self, session: WriteSession, old_key: str, new_key: str, before: Listing
    ) -> Changes:
        """Return the rows to change, none when all is so already. A rename moves the row."""
        after = self.apply(before)
        if old_key == new_key and after == before:
            return []
        row = (new_key, make_row(session, new_key, after.to_value()))
        return [row] if old_key == new_key else [(old_key, None), row]
