"""What runs print, fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.cli.readable import readable

SHOWN = {
    "plain: 5% é 数字": ("plain: 5% é 数字", None),
    "a\tb": ("a\tb", None),
    # Colours of warnings and of Keras' bars.
    "\x1b[1m5/5\x1b[0m ━━━ \x1b[32mok\x1b[0m": (
        "5/5 ━━━ ok", "\x1b[1m5/5\x1b[0m ━━━ \x1b[32mok\x1b[0m\x1b[0m"
    ),
    # Nested bars of tqdm go up a line; rich erases and hides the cursor.
    "50%|#####\x1b[A": ("50%|#####", None),
    "\x1b[2K\x1b[?25lTraining 10%": ("Training 10%", None),
    # Titles, links, answers to questions: a terminal must not be driven by a log.
    "\x1b]0;title\x07text": ("text", None),
    "\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\": ("link", None),
    "\x1b]52;c;ZXZpbA==": ("", None),
    "\x1bP1$r0m\x1b\\after\x1bc": ("after", None),
    "\x9b31mred\x07\x00": ("red", None),
    # What was taken back by backspaces, as old bars of Keras do.
    " 1/60\b\b\b\b\b 2/60": (" 2/60", None),
    "\b\babc\b": ("ab", None),
}  # fmt: skip


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_shown(text: str) -> None:
    plain, coloured = SHOWN[text]
    assert readable(text, colours=False) == plain
    assert readable(text, colours=True) == (plain if coloured is None else coloured)


@given(st.text(st.characters(max_codepoint=0x2FF) | st.sampled_from("\x1b[]0;mA\x07\b\x9b\\")))
def test_nothing_drives_the_terminal(text: str) -> None:
    shown = readable(text, colours=False)
    assert not any(
        (ord(char) < 32 and char not in "\t\n") or 127 <= ord(char) < 160 for char in shown
    )
