"""``ah evaluate``: start an evaluation."""

from __future__ import annotations

from typing import Any

import click

from ahstore.cli.arguments import run_options, what_to_run
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.runs import after_start
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="MODEL:REF")
@run_options
@pass_session
def evaluate(
    session: Session,
    /,
    path: str,
    wait: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Evaluate a model's version with the code of a git repository, on this machine or by --engine.

    Each KEY.json that the code leaves in AH_RESULTS_DIR becomes a result of one evaluation, which
    stays with the model's and the dataset's commit. The command returns at once and the run goes
    on: see 'ah ls workflow MODEL' and 'ah ls evaluation MODEL:REF'.

    \b
    Example:
      ah evaluate image-classification/mnist-cnn-keras:epoch-5 -d image-classification/mnist \\
          -v 100Mi -r https://github.com/user/repo -i master -s mnist
    """  # noqa: D301  \b is a control character here
    run = session.store().version(path, type_="model").evaluate(**what_to_run(given))
    return after_start(session, run, wait=wait, as_json=as_json)
