"""What ``sync``, ``clone`` and ``import`` say of a transfer, and how stores are named to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ahstore.cli.emit import emit_json
from ahstore.cli.quantity import rough_size
from ahstore.cli.session import Session
from ahstore.errors import DivergedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ahstore.transfer.refs import RefResult
    from ahstore.transfer.results import TransferResult

IN_FORCE = "@"
"""Stands for the store in force where a store's URL is asked for."""

_SAID = {
    "created": "new",
    "moved": "moved forward",
    "forced": "forced",
    "deleted": "deleted",
    "ahead": "has more commits here",
    "diverged": "refused: both sides have commits of their own",
    "tag differs": "refused: tags do not move",
    "kind differs": "refused: a branch on one side is a tag on the other",
}


def store_url(session: Session, text: str) -> str:
    """Return the URL that a store's argument means."""
    return session.settings().store if text == IN_FORCE else text


def run_and_tell(
    session: Session, act: Callable[[], TransferResult], *, as_json: bool, dry_run: bool = False
) -> None:
    """Run a transfer and say what it did, also when some branches were refused.

    Raises:
        DivergedError: some were; said last, for the exit status.
    """
    refused: DivergedError | None = None
    try:
        result = act()
    except DivergedError as error:
        refused, result = error, error.result
    if as_json:
        emit_json(result.to_dict())
    else:
        _tell(session, result, dry_run=dry_run)
    if refused is not None:
        raise refused


def _tell(session: Session, result: TransferResult, *, dry_run: bool) -> None:
    for asset in result.assets:
        if not asset.changed and not any(ref.refused for ref in asset.refs):
            continue
        session.info(f"{asset.path}{' (new)' if asset.created else ''}")
        for ref in asset.refs:
            if ref.action in _SAID:
                session.info(f"  {_ref(ref)}: {_SAID[ref.action]}")
        if asset.evaluations:
            session.info(f"  {_count(asset.evaluations, 'evaluation')} added")
        if asset.missing_datasets:
            session.info(
                f"  without the evaluations on {_count(asset.missing_datasets, 'dataset')} that "
                "would have to come first"
            )
    changed = sum(asset.changed for asset in result.assets)
    traffic = result.traffic
    if dry_run:
        session.info(
            f"{_count(len(result.assets), 'asset')} looked at, {changed} would change; nothing was written"
        )
    elif changed:
        session.info(
            f"{_count(len(result.assets), 'asset')}, {changed} changed: {_count(traffic.commits, 'commit')}, "
            f"{rough_size(traffic.sent_bytes)} sent"
        )
    elif not result.refused:
        session.info("Everything is up to date")


def _ref(ref: RefResult) -> str:
    before = ref.before.hex()[:8] if ref.before else None
    after = ref.after.hex()[:8] if ref.after else None
    if before and after and before != after:
        return f"{ref.kind} {ref.name} {before}..{after}"
    return f"{ref.kind} {ref.name} {after or before}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def asset_options(command: Any) -> Any:
    """Add what ``sync`` and ``import`` share."""
    options = [
        click.option("--as", "as_path", metavar="FOLDER/ASSET", help="Where a single asset goes that is not there yet."),
        click.option("--force", is_flag=True, help="Branches become what they are at the source, even if commits get lost."),
        click.option("--prune", is_flag=True, help="Delete branches and tags that the source has not."),
        click.option("-n", "--dry-run", is_flag=True, help="Read and check everything, write nothing."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command
