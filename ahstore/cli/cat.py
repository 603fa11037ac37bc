"""``ah cat``: the bytes of an object."""

from __future__ import annotations

import shutil
import sys

import click

from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

BLOCK_BYTES = 1 << 20


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:REF]")
@click.argument("objects", metavar="OBJECT…", nargs=-1, required=True)
@pass_session
def cat(session: Session, path: str, objects: tuple[str, ...]) -> None:
    """Write objects of a version to standard output, one after the other."""
    version = session.store().version(path)
    for name in objects:
        with version.open(name) as source:
            shutil.copyfileobj(source, sys.stdout.buffer, BLOCK_BYTES)
    sys.stdout.buffer.flush()
