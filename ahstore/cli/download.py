"""``ah download``: objects of a version into a folder."""

from __future__ import annotations

import click

from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:REF]")
@click.option(
    "-o",
    "--object",
    "paths",
    multiple=True,
    metavar="PATH",
    help="An object, or all below sub/; repeat for more. All objects if not given.",
)
@click.option(
    "-s", "--save-dir", default=".", metavar="DIR", help="Where to; made if it is not there."
)
@pass_session
def download(session: Session, path: str, paths: tuple[str, ...], save_dir: str) -> None:
    """Write the objects of a version into a folder, here if none is given.

    Files that stand there under the same names are replaced, each at once.
    """
    session.store().version(path).download(paths, save_dir, monitor=session.monitor())
