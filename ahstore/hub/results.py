"""Results of an evaluation: any JSON values by key, kept as the text that ``json`` writes.

Owns the form of keys and texts. Python's JSON is what users' code writes: ``NaN`` and ``Infinity``,
which a training that diverged reports, are kept as these words; integers of any size are kept whole
as far as Python writes them out (4,300 digits).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias, Union

from ahstore.errors import InvalidInputError

JSON: TypeAlias = Union[bool, int, float, str, "list[JSON]", "Mapping[str, JSON]", None]

MAX_KEY_BYTES = 255
MAX_RESULTS = 1024
MAX_RESULTS_BYTES = 1024 * 1024

_BAD_IN_KEY = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u2028\u2029\ud800-\udfff]")


def write_results(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the JSON text of each value. Scalars of NumPy and the like count as numbers.

    Raises:
        InvalidInputError: a key or a value can't be recorded, or all together are too large.
    """
    if not isinstance(results, Mapping):
        raise InvalidInputError(f"results are values by key, not a {type(results).__name__}")
    if len(results) > MAX_RESULTS:
        raise InvalidInputError(f"{len(results)} results, the limit is {MAX_RESULTS}")
    texts = {_check_key(key): _write(key, value) for key, value in results.items()}
    size = sum(len(key.encode()) + len(text) for key, text in texts.items())
    if size > MAX_RESULTS_BYTES:
        raise InvalidInputError(f"results of {size} bytes, the limit is {MAX_RESULTS_BYTES}")
    return texts


def _check_key(key: object) -> str:
    if not isinstance(key, str) or not key.strip():
        raise InvalidInputError(f"invalid key of a result {str(key)[:80]!r}: use a name")
    bad = _BAD_IN_KEY.search(key)
    if bad:
        raise InvalidInputError(
            f"invalid key of a result: the character {bad.group()!r} is not allowed"
        )
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidInputError(
            f"invalid key of a result {key[:40]!r}…: the limit is {MAX_KEY_BYTES} bytes"
        )
    return key


def _write(key: str, value: Any) -> str:
    try:
        return json.dumps(value, default=_scalar)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"the result {key!r} is not JSON: {error}", key=key) from None


def _scalar(value: Any) -> Any:
    """Return the plain number in what wraps one, as NumPy and PyTorch do."""
    item = getattr(value, "item", None)
    if callable(item) and not isinstance(value, type):
        plain = item()
        if plain is None or isinstance(plain, (bool, int, float, str)):
            return plain
    raise TypeError(f"a {type(value).__name__} can't be written")
