"""A bundle into a store: the same as from another store, once the bundle is known to be whole."""

from __future__ import annotations

from ahstore.errors import InvalidInputError
from ahstore.hub.hub import Hub
from ahstore.transfer.bundle_file import BundleFile
from ahstore.transfer.receiving import Terms, preview, receive
from ahstore.transfer.results import TransferResult
from ahstore.transfer.sync import SyncOptions


def import_bundle(hub: Hub, bundle: BundleFile, options: SyncOptions) -> TransferResult:
    """Bring what is in a bundle into a store; branches that may not be moved are in ``refused``.

    Raises:
        AlreadyExistsError: another asset has the name of one that is new here.
        CorruptError: the bundle's content is malformed.
        NotFoundError: it builds on commits that this store does not have, or lacks something.
    """
    if options.as_path is not None and len(bundle.manifest.assets) != 1:
        raise InvalidInputError("another path can be given to a single asset only")
    source = bundle.repository()
    result = TransferResult()
    act = preview if options.dry_run else receive
    for offer in bundle.manifest.assets:
        terms = Terms(
            force=options.force,
            prune=options.prune,
            as_path=options.as_path,
            required=bundle.manifest.required,
            monitor=options.monitor,
        )
        options.monitor.start(f"Importing {offer.record.path}")
        try:
            result.assets.append(act(hub, source, offer, terms))
        finally:
            options.monitor.finish()
    return result
