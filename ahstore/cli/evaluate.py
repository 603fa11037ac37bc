"""``ah evaluate``: start an evaluation."""

from __future__ import annotations

import click

from ahstore.cli.arguments import parse_pairs, run_options
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
    path: str,
    dataset: str,
    volume: str,
    git_repo: str,
    git_revision: str,
    git_subpath: str,
    params: tuple[str, ...],
    timeout: float | None,
    at_once: int | None,
    wait: bool,
    as_json: bool,
) -> int:
    """Evaluate a model's version with the code of a git repository, as a local process.

    Each KEY.json that the code leaves in AH_RESULTS_DIR becomes a result of one evaluation, which
    stays with the model's and the dataset's commit. The command returns at once and the run goes
    on: see 'ah ls workflow MODEL' and 'ah ls evaluation MODEL:REF'.

    \b
    Example:
      ah evaluate image-classification/mnist-cnn-keras:epoch-5 -d image-classification/mnist \\
          -v 100Mi -r https://github.com/user/repo -i master -s mnist
    """  # noqa: D301  \b is a control character here
    run = (
        session.store()
        .version(path, type_="model")
        .evaluate(
            dataset=dataset,
            volume=volume,
            git_repo=git_repo,
            git_revision=git_revision,
            git_subpath=git_subpath,
            params=parse_pairs(params, "parameter"),
            timeout=timeout,
            at_once=at_once,
        )
    )
    return after_start(session, run, wait=wait, as_json=as_json)
