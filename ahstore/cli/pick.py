"""``ah revert`` and ``ah cherry-pick``: one commit's change undone, or done again, on a branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ahstore.cli.arguments import (
    Command,
    expect_option,
    json_option,
    metadata_option,
    parse_pairs,
    strategy_option,
)
from ahstore.cli.emit import emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ahstore.client.ref import Commit


def _options(command: Command) -> Command:
    for option in (
        json_option,
        expect_option,
        metadata_option,
        strategy_option(
            "three-way",
            "ours",
            "theirs",
            text="three-way refuses where both changed an object; there ours keeps the branch's "
            "state, theirs takes that of the change.",
        ),
        click.option(
            "--mainline",
            type=click.IntRange(min=1),
            metavar="N",
            help="Of a merge: its parent against which the change is meant.",
        ),
        click.option("-m", "--message", metavar="MSG", help="The commit's message."),
        click.argument("commit", metavar="COMMIT"),
        click.argument("path", type=PATH, metavar="ASSET[:BRANCH]"),
    ):
        command = option(command)
    return command


@click.command(cls=Verb)
@_options
@pass_session
def revert(session: Session, /, path: str, commit: str, **options: Any) -> None:
    """Undo on a branch what COMMIT changed, by a commit of its own.

    COMMIT is a reference of the same asset. Where an object was changed again since, nothing is
    done, the objects are named, and the exit status is 3.
    """
    _pick(session.store().branch(path).revert, commit, **options)


@click.command("cherry-pick", cls=Verb)
@_options
@pass_session
def cherry_pick(session: Session, /, path: str, commit: str, **options: Any) -> None:
    """Do again on a branch what COMMIT, a reference of the same asset, changed.

    Where the branch changed an object otherwise, nothing is done, the objects are named, and the
    exit status is 3.
    """
    _pick(session.store().branch(path).cherry_pick, commit, **options)


def _pick(
    act: Callable[..., Commit | None],
    commit: str,
    *,
    message: str | None,
    metadata: Sequence[str],
    as_json: bool,
    **options: Any,
) -> None:
    made = act(commit, msg=message, metadata=parse_pairs(metadata, "metadata"), **options)
    if as_json:
        emit_json(None if made is None else made.to_dict())
