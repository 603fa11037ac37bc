"""What the processes of the tests on S3 do: ``python s3_worker.py ROLE URL NUMBER ROUNDS FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ahstore.client.model import Model
from ahstore.client.store import Store
from ahstore.errors import ConflictError, OutcomeUnknownError, StorageError
from ahstore.storage.contract import AlreadyThereError
from ahstore.storage.open import open_storage

TRIES = 20


def create(url: str, number: int, rounds: int, folder: Path) -> None:
    """Race for the same keys; say which were won."""
    with open_storage(url, scratch=str(folder)) as storage:
        wait_for_start()
        for round_ in range(rounds):
            try:
                storage.create(f"hints/race/{round_}", b"%d" % number)
            except AlreadyThereError:
                continue
            print("won", round_)


def commit(url: str, number: int, rounds: int, folder: Path) -> None:
    """Commit ``rounds`` files to ``main``; say of each commit what became of it."""
    file = folder / "file"
    folder.mkdir()
    with Store.open(url, create=False, cache_dir=folder / "cache", user="worker") as store:
        asset = store.get("worker/model/f/a")
        assert isinstance(asset, Model)
        wait_for_start()
        for round_ in range(rounds):
            message = f"{number}-{round_}"
            file.write_text(message)
            print(json.dumps([message, commit_one(asset, message, file)]), flush=True)


def commit_one(asset: Model, message: str, file: Path) -> str:
    """Return the id, or "unknown"; a plain failure is one: then it is tried again."""
    for _ in range(TRIES):
        try:
            made = asset.get_branch("main").create_commit(message, add=[f"{file}:{message}"])
        except OutcomeUnknownError:
            return "unknown"
        except (StorageError, ConflictError) as error:
            print(json.dumps([message, f"failed: {error!r}"]), file=sys.stderr)
            continue
        return str(made.id)
    raise AssertionError("it fails again and again")


def wait_for_start() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    role, url, number, rounds, folder = sys.argv[1:]
    {"create": create, "commit": commit}[role](url, int(number), int(rounds), Path(folder))
