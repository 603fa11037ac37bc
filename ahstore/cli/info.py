"""``ah info``: the store in force and what it holds."""

from __future__ import annotations

import click

from ahstore._version import __version__
from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.quantity import exact_size
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import block, clean

ORIGINS = {"default": "the default", "login": "ah login", "system": "the system"}


@click.command(cls=Verb)
@json_option
@pass_session
def info(session: Session, as_json: bool) -> None:
    """Show which store and user are in force and why, and how much the store holds."""
    settings = session.settings()
    store = session.store()
    held = store.statistics()
    if as_json:
        emit_json(
            {
                "cache_dir": settings.cache_dir,
                "id": store.id,
                "runs_dir": settings.runs_dir,
                "store": store.url,
                "store_from": settings.store_from,
                "user": settings.user,
                "user_from": settings.user_from,
                "version": __version__,
                **held,
            }
        )
        return
    emit(
        block(
            {
                "STORE": f"{clean(store.url)} (from {_origin(settings.store_from)})",
                "ID": store.id,
                "USER": f"{settings.user} (from {_origin(settings.user_from)})",
                "MODELS": f"{held['models']} in {held['model_folders']} folders",
                "DATASETS": f"{held['datasets']} in {held['dataset_folders']} folders",
                "STORED": f"{exact_size(held['pack_bytes'])} in {held['packs']} packs",
                "CACHE": clean(settings.cache_dir),
                "RUNS": clean(settings.runs_dir),
                "VERSION": __version__,
            }
        )
    )


def _origin(source: str) -> str:
    return ORIGINS.get(source, source)
