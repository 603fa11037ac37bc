"""What the HTML pages we write have in common: they need nothing else, and load and run nothing."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; border-bottom: 1px solid #8884; }
th { text-align: left; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
td.best { font-weight: bold; } svg text { font-size: 12px; fill: currentColor; }
:root { color-scheme: light dark; }
"""


def page_start(title: str) -> Iterator[str]:
    """Yield a page's beginning, up to its heading."""
    yield '<!doctype html><html lang="en"><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"


def page_end() -> Iterator[str]:
    """Yield what closes a page."""
    yield "</html>"
