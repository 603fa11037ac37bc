"""``ah rerun``: do a recorded training again, and say whether the same came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ahstore.cli import exit_codes
from ahstore.cli.arguments import env_option, json_option, parse_env
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.runs import wait_for
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean

SHOWN_FILES = 20
SHOWN_FACTS = 20
SHOWN_PARTS = 10


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="MODEL:REF")
@click.option(
    "-r", "--git-repo", metavar="REPO", help="Where the code is now, if it has moved since."
)
@click.option("--python", metavar="PYTHON", help="Another interpreter than the training's.")
@env_option
@click.option("--detach", is_flag=True, help="Return at once; the run goes on.")
@json_option
@pass_session
def rerun(
    session: Session,
    path: str,
    git_repo: str | None,
    python: str | None,
    env: tuple[str, ...],
    detach: bool,
    as_json: bool,
) -> int:
    """Do the training again that made MODEL:REF, in a clean workspace, and say the verdict.

    Code, dataset, checkpoint, parameters and limits are those that were recorded; no branch moves.
    The verdict is recorded with the version ('ah ls evaluation MODEL:REF'). If something differs,
    the files of the rerun are on a branch of their own. Exit status 0 says "same bytes".

    \b
    Example:
      ah rerun image-classification/mnist-cnn-keras:epoch-10
    """  # noqa: D301  \b is a control character here
    run = (
        session.store()
        .version(path, type_="model")
        .rerun(git_repo=git_repo, python=python, env=parse_env(env))
    )
    if detach:
        if as_json:
            emit_json(run.to_dict())
        else:
            session.info(f"Run {run.name} has started: 'ah wait {run.name}'")
        return exit_codes.DONE
    wait_for(session, run, timeout=None, as_json=False)
    verdict = run.verdict()
    assert verdict is not None
    if as_json:
        emit_json(verdict)
    else:
        emit(line + "\n" for line in _lines(path, verdict))
    return exit_codes.DONE if verdict["verdict"] == "same bytes" else exit_codes.FAILED


def _lines(path: str, verdict: dict[str, Any]) -> Iterator[str]:
    yield clean(f"{path}: {verdict['verdict']}")
    for difference in verdict["differences"][:SHOWN_FILES]:
        yield clean(f"  {difference['change']}: {difference['path']}")
        for part in difference.get("parts", [])[:SHOWN_PARTS]:
            apart = f", at most {part['max']:.3g} apart" if part.get("max") is not None else ""
            yield clean(f"    {part['change']}: {part['name']}{apart}")
    if verdict["files"] > SHOWN_FILES:
        yield f"  … {verdict['files']} files in all"
    if verdict["branch"]:
        yield f"The rerun's files are on branch {verdict['branch']}."
    changed = verdict["surroundings"]
    if changed:
        yield "Not as it was then:"
        for name, (then, now) in list(changed.items())[:SHOWN_FACTS]:
            yield clean(f"  {name}: {then} -> {now}")
        if len(changed) > SHOWN_FACTS:
            yield f"  … {len(changed)} in all"
