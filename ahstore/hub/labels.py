"""Labels and descriptions: the free text that people give to folders and assets.

Owns what may stand there. Names have a grammar of their own (``ahstore.names``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ahstore.errors import InvalidInputError

MAX_LABELS = 64
MAX_LABEL_LENGTH = 128
MAX_DESCRIPTION_BYTES = 64 * 1024

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_PROSE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def check_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the labels in the order given, each once.

    Raises:
        InvalidInputError: one is no label, or they are too many.
    """
    if isinstance(labels, str):
        raise InvalidInputError(f"labels are a list of texts, not the one text {labels[:80]!r}")
    unique = tuple(dict.fromkeys(map(_check_label, labels)))
    if len(unique) > MAX_LABELS:
        raise InvalidInputError(f"{len(unique)} labels, the limit is {MAX_LABELS}")
    return unique


def _check_label(label: object) -> str:
    if not isinstance(label, str):
        raise InvalidInputError(f"invalid label {str(label)[:80]!r}: it is not a text")
    problem = _problem_with_label(label)
    if problem:
        raise InvalidInputError(f"invalid label {_show(label)}: {problem}", value=_show(label))
    return label


def _problem_with_label(label: str) -> str | None:
    if not label.strip():
        return "it is empty"
    if label != label.strip():
        return "it starts or ends with a space"
    if len(label) > MAX_LABEL_LENGTH:
        return f"it has {len(label)} characters, the limit is {MAX_LABEL_LENGTH}"
    bad = _CONTROL.search(label)
    if bad:
        return f"the character {bad.group()!r} is not allowed"
    return None if _is_utf8(label) else "it is not valid UTF-8"


def check_description(text: str) -> str:
    """Return ``text`` if it may be a description: any text, over several lines if need be.

    Raises:
        InvalidInputError: it holds control characters, is not UTF-8 or too long.
    """
    bad = _CONTROL_IN_PROSE.search(text)
    if bad:
        raise InvalidInputError(f"invalid description: {bad.group()!r} is not allowed in it")
    if not _is_utf8(text):
        raise InvalidInputError("invalid description: it is not valid UTF-8")
    size = len(text.encode())
    if size > MAX_DESCRIPTION_BYTES:
        raise InvalidInputError(
            f"invalid description: it has {size} bytes, the limit is {MAX_DESCRIPTION_BYTES}"
        )
    return text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _show(text: str) -> str:
    return repr(text[:80].encode("utf-8", "backslashreplace").decode())
