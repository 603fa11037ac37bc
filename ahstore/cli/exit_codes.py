"""What the command's exit status says. The one table; docs and ``ah --help`` show it.

======  =====================================================================
status  meaning
======  =====================================================================
0       done; also: there was nothing to do
1       failed: the message says what and why; the store is as it was before
2       wrong usage: an option, a path, a name or a size is malformed
3       conflict: someone else changed what this builds on; look and try again
4       outcome unknown: the change may or may not have been made; look
5       fsck: something is damaged or missing, and was not repaired
70      a bug in ahstore; AH_TRACEBACK=1 shows where
130     interrupted by Ctrl-C
141     whoever read the output went away (as with ``| head``)
======  =====================================================================
"""

from __future__ import annotations

from ahstore.errors import AhError, ConflictError, InvalidInputError, OutcomeUnknownError

DONE = 0
FAILED = 1
USAGE = 2
CONFLICT = 3
UNKNOWN = 4
DAMAGED = 5
BUG = 70
INTERRUPTED = 130
READER_GONE = 141


def exit_code(error: AhError) -> int:
    """Return the exit status for an error of the library."""
    if isinstance(error, InvalidInputError):
        return USAGE
    if isinstance(error, ConflictError):
        return CONFLICT
    if isinstance(error, OutcomeUnknownError):
        return UNKNOWN
    return FAILED
