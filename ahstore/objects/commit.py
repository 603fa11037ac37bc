"""A commit: its fields, its bytes and its id.

Implements "Commits" of docs/format/objects.md. Where commits are stored, and which of them a branch
points to, is left to the floors above.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ahstore.codec import canonical
from ahstore.codec.canonical import Value
from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import AssetId, CommitId, PageId, check_address, parse_entity_id

FORMAT = 1
MAX_COMMIT_BYTES = 1024 * 1024
MAX_PARENTS = 16
MAX_COMMITTER_LENGTH = 256
MIN_DATE_US = -62_135_596_800_000_000  # year 1
MAX_DATE_US = 253_402_300_799_999_999  # end of year 9999

_FIELDS = ["asset", "committer", "date", "message", "metadata", "parents", "tree", "v"]
_LIMITS = canonical.Limits(bytes=MAX_COMMIT_BYTES, depth=32, items=65_536)


@dataclass(frozen=True, slots=True)
class Commit:
    """An immutable version of an asset.

    Attributes:
        asset: whose version it is.
        parents: commits it builds on, the branch's former head first.
        tree: root of the tree of its files.
        message: what its maker says of it.
        committer: the user who made it.
        date_us: microseconds since 1970 UTC.
        metadata: anything small that canonical msgpack can hold.
    """

    asset: AssetId
    parents: tuple[CommitId, ...]
    tree: PageId
    message: str
    committer: str
    date_us: int
    metadata: dict[str, Value] = field(default_factory=dict)


def encode(commit: Commit) -> bytes:
    """Return the bytes of ``commit``, whose SHA-256 is its id.

    Raises:
        InvalidInputError: a field is out of its bounds, or all are too large together.
    """
    data = canonical.encode(
        {
            "asset": commit.asset,
            "committer": commit.committer,
            "date": commit.date_us,
            "message": commit.message,
            "metadata": commit.metadata,
            "parents": list(commit.parents),
            "tree": commit.tree,
            "v": FORMAT,
        }
    )
    try:
        decode(data)
    except CorruptError as error:
        raise InvalidInputError(f"not a commit that can be stored: {error}") from error
    return data


def decode(data: bytes) -> Commit:
    """Return the commit that ``data`` encodes, every field checked.

    Raises:
        CorruptError: it is no commit.
    """
    value = canonical.decode(data, limits=_LIMITS)
    if type(value) is not dict or list(value) != _FIELDS:
        raise CorruptError("not a commit: its fields are not those of a commit")
    if type(value["v"]) is not int or value["v"] != FORMAT:
        raise CorruptError("not a commit of a format known here")
    try:
        commit = Commit(
            asset=AssetId(parse_entity_id(value["asset"])),
            parents=_parents(value["parents"]),
            tree=PageId(check_address(value["tree"])),
            message=_text(value["message"]),
            committer=_text(value["committer"]),
            date_us=_date(value["date"]),
            metadata=_metadata(value["metadata"]),
        )
    except InvalidInputError as error:
        raise CorruptError(f"not a commit: {error}") from error
    if not 0 < len(commit.committer) <= MAX_COMMITTER_LENGTH:
        raise CorruptError("not a commit: the committer's name is empty or too long")
    return commit


def commit_id(data: bytes) -> CommitId:
    """Return the id of the commit that ``data`` encodes."""
    return CommitId(sha256(data))


def _parents(value: Value) -> tuple[CommitId, ...]:
    if type(value) is not list or len(value) > MAX_PARENTS:
        raise CorruptError(f"not a commit: parents are not a list of at most {MAX_PARENTS}")
    parents = tuple(CommitId(check_address(parent)) for parent in value)
    if len(set(parents)) != len(parents):
        raise CorruptError("not a commit: it has a parent twice")
    return parents


def _text(value: Value) -> str:
    if type(value) is not str:
        raise CorruptError("not a commit: a text is not a string")
    return value


def _date(value: Value) -> int:
    if type(value) is not int or not MIN_DATE_US <= value <= MAX_DATE_US:
        raise CorruptError("not a commit: the date is not within the years 1 to 9999")
    return value


def _metadata(value: Value) -> dict[str, Value]:
    if type(value) is not dict:
        raise CorruptError("not a commit: the metadata are not a map")
    return value
