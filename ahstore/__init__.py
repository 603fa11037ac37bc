"""ahstore: versions for models and datasets, with training and evaluation in their history.

``import ahstore as ah`` is cheap: the calls and classes come from `ahstore.api` when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ahstore._version import __version__

if TYPE_CHECKING:
    from ahstore.api import (
        AhError,
        AlreadyExistsError,
        Branch,
        Commit,
        ConflictError,
        CorruptError,
        Dataset,
        DivergedError,
        Folder,
        FsckReport,
        GcReport,
        InvalidInputError,
        MergeConflictError,
        Model,
        Monitor,
        NotFoundError,
        ObjectNotFoundError,
        OutcomeUnknownError,
        Run,
        RunFailedError,
        SourceChangedError,
        StorageError,
        StorageFullError,
        Store,
        Tag,
        Transaction,
        UnsupportedError,
        cherry_pick,
        clone,
        commit,
        create,
        create_folder,
        delete,
        delete_evaluation,
        download,
        export,
        fsck,
        gc,
        get,
        get_asset,
        get_folder,
        import_bundle,
        list,  # noqa: A004
        list_folder,
        login,
        logout,
        merge,
        open,  # noqa: A004
        reset,
        restore,
        revert,
        sync,
        transaction,
        undelete,
        update,
    )

__all__ = [  # noqa: RUF022  the calls first, then classes, then errors
    "__version__",
    "open", "login", "logout",
    "create_folder", "get_folder", "list_folder", "get_asset",
    "create", "get", "list", "update", "delete", "undelete", "commit", "transaction", "download",
    "merge", "revert", "cherry_pick", "restore", "reset", "delete_evaluation",
    "export", "import_bundle", "sync", "clone", "gc", "fsck",
    "Store", "Folder", "Model", "Dataset", "Branch", "Tag", "Commit", "Transaction", "Run",
    "Monitor", "GcReport", "FsckReport",
    "AhError", "AlreadyExistsError", "ConflictError", "CorruptError", "DivergedError",
    "InvalidInputError",
    "MergeConflictError", "NotFoundError", "ObjectNotFoundError", "OutcomeUnknownError",
    "RunFailedError", "SourceChangedError", "StorageError", "StorageFullError",
    "UnsupportedError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ahstore' has no attribute {name!r}")
    from ahstore import api  # start-up: a cheap import for those who only want the version

    value = getattr(api, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:  # type: ignore[valid-type]
    return sorted({*globals(), *__all__})
