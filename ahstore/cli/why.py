"""``ah why``: where a version or a number comes from, in plain words."""

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
@click.argument("what", type=PATH, metavar="PATH|RUN|EVALUATION_ID")
@json_option
@pass_session
def why(session: Session, what: str, as_json: bool) -> None:
    """Say where a number comes from: code, data, checkpoint, machine, measurements.

    Of a version by its path, of a run by its name or id, of an evaluation by its id: whatever
    stands beside the number in a list, a table or a page.

    \b
    Examples:
      ah why image-classification/mnist-cnn-keras:epoch-10
      ah why asset-hub-pdhg9
      ah why 7b1eaf53-263d-852c-a532-22f955a40819
    """  # noqa: D301  \b is a control character here
    paragraphs = session.store().why(what).split("\n\n")
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
