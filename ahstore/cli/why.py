"""``ah why``: where a version comes from, in plain words."""

from __future__ import annotations

import shutil
import textwrap

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean

MAX_WIDTH = 100


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@json_option
@pass_session
def why(session: Session, path: str, as_json: bool) -> None:
    """Say where the version PATH comes from: code, data, checkpoint, machine, measurements.

    \b
    Example:
      ah why image-classification/mnist-cnn-keras:epoch-10
    """  # noqa: D301  \b is a control character here
    paragraphs = session.store().version(path).why().split("\n\n")
    if as_json:
        emit_json({"why": paragraphs})
        return
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
    # A long path is better whole than hyphenated: it is there to be copied.
    wrapped = (
        textwrap.fill(clean(text), width, break_long_words=False, break_on_hyphens=False)
        for text in paragraphs
    )
    emit(["\n\n".join(wrapped) + "\n"])
