"""What the format pages list is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from ahstore.objects.content_type import EXTENSIONS, TYPES

FORMAT = Path(__file__).parents[2] / "docs" / "format"


def test_the_table_of_content_types() -> None:
    text = (FORMAT / "content-types.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `([^`]+)` \| (.*) \|$", text, re.MULTILINE)
    assert [(int(place), name) for place, name, _ in rows] == list(enumerate(TYPES))
    assert {ext: name for _, name, exts in rows for ext in exts.split()} == EXTENSIONS


def test_every_page_is_in_the_table_of_pages() -> None:
    listed = set(re.findall(r"\]\(([a-z-]+\.md)\)", (FORMAT / "index.md").read_text()))
    assert listed == {page.name for page in FORMAT.glob("*.md")} - {"index.md"}
