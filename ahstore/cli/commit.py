"""``ah commit``: local files to a branch, in one atomic commit."""

from __future__ import annotations

import click

from ahstore.cli import listings
from ahstore.cli.arguments import (
    expect_option,
    json_option,
    metadata_option,
    parse_pairs,
    rehash_option,
)
from ahstore.cli.emit import emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:BRANCH]")
@click.argument("more", metavar="[LOCAL…]", nargs=-1)
@click.option("-m", "--message", required=True, metavar="MSG", help="What this commit is.")
@click.option(
    "-a",
    "--add",
    multiple=True,
    metavar="LOCAL[:PATH]",
    help="A local file or folder, and where it goes; repeat for more.",
)
@click.option(
    "-d",
    "--delete",
    multiple=True,
    metavar="PATH",
    help="An object to delete, or all below sub/; repeat for more.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@metadata_option
@expect_option
@rehash_option
@json_option
@pass_session
def commit(
    session: Session,
    path: str,
    more: tuple[str, ...],
    message: str,
    add: tuple[str, ...],
    delete: tuple[str, ...],
    dry_run: bool,
    metadata: tuple[str, ...],
    expect: str | None,
    rehash: bool,
    as_json: bool,
) -> None:
    """Commit local files to a branch: first delete, then add, all in one commit.

    A file goes to its own name. A folder goes with its name, 'dir/*' without it. LOCAL:sub/
    puts it under sub/, LOCAL:other renames it. A commit that would change nothing is not made.

    \b
    Examples:
      ah commit model/llm/gpt2:v1 -m "Add weights" -a model.pt -a README.md
      ah commit dataset/image/mnist -m "Add images" -a 'data/*'
      ah commit model/llm/gpt2 -m "Tidy up" -d old/ -a new.pt:weights/
    """  # noqa: D301  \b is a control character here
    added = [*add, *more]
    if not added and not delete:
        raise click.UsageError("There is nothing to commit: give -a LOCAL[:PATH] or -d PATH.")
    if not message.strip():
        raise click.UsageError("The message (-m) is empty.")
    carried = parse_pairs(metadata, "metadata")
    branch = session.store().branch(path)
    if dry_run:
        changes = branch.status(added, delete, rehash=rehash, monitor=session.monitor())
        listings.changes(session, changes, as_json=as_json, none="Nothing would change")
        return
    made = branch.create_commit(
        message,
        delete,
        added,
        expect=expect,
        metadata=carried,
        rehash=rehash,
        monitor=session.monitor(),
    )
    if as_json:
        emit_json(None if made is None else made.to_dict())
