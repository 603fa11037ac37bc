"""The type of arguments that are paths: taken as they are, completed from the store in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ahstore.cli.session import Session

if TYPE_CHECKING:
    from ahstore.client.store import Store

MAX_ITEMS = 1000


class PathParam(click.ParamType[str]):
    """``[USER/]model/FOLDER[/MODEL[:REF]]``, or the same with ``dataset``."""

    name = "path"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the folders, assets or references that begin so; nothing when that fails."""
        session = ctx.find_object(Session) or Session()
        session.quiet = True
        try:
            found = _candidates(session.store(), incomplete)
            return [CompletionItem(text) for text, _ in zip(found, range(MAX_ITEMS), strict=False)]
        except Exception:
            return []
        finally:
            session.close()


def _candidates(store: Store, incomplete: str) -> Iterator[str]:
    if ":" in incomplete:
        location, _, begun = incomplete.partition(":")
        asset = store.asset(location)
        names = [ref["name"] for ref in (*asset.list_branch(), *asset.list_tag())]
        yield from (f"{location}:{name}" for name in names if name.startswith(begun))
        return
    for folder in store.list_folder():
        paths = [folder["path"]]
        if folder["owner"] == store.user:
            paths.append(f"{folder['type']}/{folder['name']}")
        for path in paths:
            if incomplete.startswith(path + "/"):
                assets = (f"{path}/{asset['name']}" for asset in store.list(folder["path"]))
                yield from (asset for asset in assets if asset.startswith(incomplete))
            elif path.startswith(incomplete):
                yield path


PATH = PathParam()
