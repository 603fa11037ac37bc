"""What a row of a hub's tree carries: the value itself when small, else the id of a record.

So that pages stay small whatever people write. Implements "Payloads" of docs/format/hub.md.
"""

from __future__ import annotations

from ahstore.codec import canonical
from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import RecordId, check_address
from ahstore.objects.tree import Row
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

INLINE_BYTES = 4096
PAYLOAD = 2


def make_row(session: WriteSession, key: str, value: Value) -> Row:
    """Return the row of ``key``; a large value is stored as a record of the session."""
    data = canonical.encode(value)
    if len(data) <= INLINE_BYTES:
        return [key, 0, value]
    return [key, 0, bytes(session.put_record(data))]


def read_row(repo: Repository, row: Row) -> Value:
    """Return the value of a row.

    Raises:
        CorruptError: the row or its record is malformed.
    """
    if len(row) <= PAYLOAD:
        raise CorruptError("a row without payload", key=row[0])
    payload: Value = row[PAYLOAD]
    if type(payload) is not bytes:
        return payload
    return canonical.decode(repo.read_record(record_of(payload)))


def record_of(payload: bytes) -> RecordId:
    """Return the record that a payload names.

    Raises:
        CorruptError: it is no id.
    """
    try:
        return RecordId(check_address(payload))
    except InvalidInputError:
        raise CorruptError("a row names no record") from None
