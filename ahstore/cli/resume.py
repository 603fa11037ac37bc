"""``ah resume``: go on with a training that failed or was stopped."""

from __future__ import annotations

import click

from ahstore.cli.arguments import env_option, json_option, parse_env
from ahstore.cli.lazy import Verb
from ahstore.cli.runs import after_start
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("name")
@click.option(
    "-r", "--git-repo", metavar="REPO", help="Where the code is now, if it has moved since."
)
@click.option("-v", "--volume", metavar="SIZE", help="Another size limit than the run had.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Another time-out than the run had.",
)
@click.option(
    "--at-once",
    type=click.IntRange(min=1),
    metavar="N",
    help="Queue the run: N queued runs work at once on this machine.",
)
@env_option
@click.option("--wait", is_flag=True, help="Wait until the run has ended; exit 1 if it failed.")
@json_option
@pass_session
def resume(
    session: Session,
    name: str,
    git_repo: str | None,
    volume: str | None,
    timeout: float | None,
    at_once: int | None,
    env: tuple[str, ...],
    wait: bool,
    as_json: bool,
) -> int:
    """Go on with the training NAME, which failed, was stopped or lost its supervisor.

    A new run does what that one did: the same code, dataset, parameters and branch, from the last
    checkpoint that its code handed in with ahstore.run.checkpoint. Without one it begins anew.

    \b
    Example:
      ah resume asset-hub-x7bq2 -v 200Mi --wait
    """  # noqa: D301  \b is a control character here
    run = (
        session.store()
        .get_workflow(name)
        .resume(
            git_repo=git_repo,
            volume=volume,
            timeout=timeout,
            at_once=at_once,
            env=parse_env(env),
        )
    )
    return after_start(session, run, wait=wait, as_json=as_json)
