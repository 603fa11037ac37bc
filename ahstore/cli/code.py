"""``ah code``: the exact code of a run, or of the training that made a version."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ahstore.client.run import Run
    from ahstore.client.version import Version

RUN_PREFIX = "asset-hub-"


@click.command(cls=Verb)
@click.argument("name", metavar="RUN|MODEL:REF")
@click.option("-s", "--save-dir", metavar="DIR", help="A new folder for a checkout of the code.")
@click.option("--patch", is_flag=True, help="Write only the uncommitted changes, as git does.")
@click.option(
    "-r", "--git-repo", metavar="REPO", help="Where the code is now, if it has moved since."
)
@pass_session
def code(
    session: Session, name: str, save_dir: str | None, patch: bool, git_repo: str | None
) -> None:
    """Write the code of a run, or of the training that made MODEL:REF.

    With --save-dir it is a git checkout of the recorded commit, with what was not committed applied
    and staged. With --patch the changes alone go to standard output; 'git apply' understands them.

    \b
    Examples:
      ah code asset-hub-x7k2q -s code-of-then
      ah code image-classification/mnist-cnn-keras:epoch-10 --patch
    """  # noqa: D301  \b is a control character here
    if patch == (save_dir is not None):
        raise click.UsageError("Give either --save-dir DIR or --patch.")
    found = _find(session, name)
    if save_dir is not None:
        found.download_code(save_dir, git_repo=git_repo)
    else:
        sys.stdout.buffer.write(found.patch())
        sys.stdout.buffer.flush()


def _find(session: Session, name: str) -> Run | Version:
    if "/" in name or not name.startswith(RUN_PREFIX):
        return session.store().version(name, type_="model")
    return session.store().get_workflow(name)
