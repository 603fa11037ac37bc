"""What programs print to a terminal, made fit to be shown.

Colours stay; everything else that would drive the terminal goes. Progress bars move the cursor, and
a run's code may print anything.
"""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor, erasing
    r"|[\]P^_X].*?(?:\x07|\x1b\\|$)"  # titles, links and their like, to their end
    r"|[ -/]*[0-~])"
    r"|\x1b|\x9b[0-?]*[ -/]*[@-~]"
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_TAKEN_BACK = re.compile(r"[^\x08]\x08")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")


def readable(line: str, *, colours: bool) -> str:
    """Return a line as a terminal would show it, tabs and, if wanted, colours left in it."""
    if line.isascii() and line.isprintable():
        return line
    line = _ESCAPES.sub(lambda found: _kept(found.group(), colours), line)
    while "\b" in line:
        shorter = _TAKEN_BACK.sub("", line)
        line = shorter if shorter != line else line.replace("\b", "")
    line = _CONTROLS.sub("", line)
    # A colour that nobody ends would be that of everything after it.
    return line + "\x1b[0m" if colours and "\x1b[" in line else line


def _kept(escape: str, colours: bool) -> str:
    return escape if colours and _COLOUR.fullmatch(escape) else ""
