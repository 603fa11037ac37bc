"""Putting the table into the documentation, between two markers."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- latest table -->", "<!-- end of latest table -->"


def replace_table(page: Path, table: str) -> None:
    """Put ``table`` where the page has the last one.

    Raises:
        ValueError: the page lacks the markers.
    """
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no place for the table: {BEGIN} … {END}")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n\n{table.strip()}\n\n{END}{tail}")
