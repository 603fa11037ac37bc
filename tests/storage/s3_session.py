"""One session of botocore for many tests: to make one takes longer than most of them."""

from __future__ import annotations

import functools

from aiobotocore.session import AioSession


@functools.cache
def shared_session() -> AioSession:
    """Return it."""
    return AioSession()
