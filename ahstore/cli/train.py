"""``ah train``: start a training."""

from __future__ import annotations

from typing import Any

import click

from ahstore.cli.arguments import parse_grid, run_options, what_to_run
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.runs import after_start, after_sweep
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="MODEL")
@click.option(
    "-b",
    "--branch",
    required=True,
    metavar="BRANCH",
    help="Where the trained model is committed; made if it is not there.",
)
@click.option(
    "-c", "--checkpoint", metavar="MODEL:REF", help="Continue from this version of a model."
)
@click.option(
    "--checkpoints",
    type=click.Choice(["own", "target", "none"]),
    help="Where checkpoints that the code hands in are committed: the run's own branch (the default), BRANCH, nowhere.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="KEY=V1,V2…",
    help="A run and a branch for each value; repeat for all combinations.",
)
@run_options
@pass_session
def train(
    session: Session,
    /,
    path: str,
    branch: str,
    checkpoint: str | None,
    sweeps: tuple[str, ...],
    wait: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Train MODEL with the code of a git repository, on this machine or by --engine.

    What the code leaves in AH_OUTPUT_DIR becomes one commit on BRANCH. The command returns at
    once and the run goes on: see 'ah ls workflow MODEL' and 'ah logs NAME'.

    \b
    Example:
      ah train image-classification/mnist-cnn-keras -b epoch-5 -d image-classification/mnist \\
          -v 100Mi -r https://github.com/user/repo -i master -s mnist

    \b
    With --sweep the branches are BRANCH-KEY-VALUE…, and --wait ends with a table:
      ah train F/A -b try --sweep lr=0.1,0.01 --sweep bs=16,32 --at-once 2 --wait …
    """  # noqa: D301  \b is a control character here
    model = session.store().model(path)
    options = {"checkpoint": checkpoint, **what_to_run(given)}
    if sweeps:
        runs = model.sweep(branch, parse_grid(sweeps), **options)
        return after_sweep(session, runs, wait=wait, as_json=as_json)
    run = model.train(branch, **options)
    return after_start(session, run, wait=wait, as_json=as_json)
