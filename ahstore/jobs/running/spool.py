"""The folder in which a run's code hands in checkpoints, and gets its answers.

``ahstore.run.checkpoint`` puts files and ``request.json`` into a draft and renames that to its name,
which sorts by time; so what has a name is whole. The answer is a file beside it, renamed to its name
likewise. The code holds no credential of the store: all it can do here is what it can do to its own
outputs (docs/format/runs.md, "Checkpoints").
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass

from ahstore.errors import AhError, InvalidInputError, RunFailedError
from ahstore.jobs.progress import check_step
from ahstore.jobs.running.outputs import has_files, read_json
from ahstore.jobs.running.workspace import remove_folder

REQUEST_NAME = "request.json"
FILES_NAME = "files"
ANSWER_SUFFIX = ".answer"
_DRAFT_SUFFIX = ".draft"

_REQUEST = re.compile(r"\d{20}-\d+-[0-9a-f]{8}\Z")


@dataclass(frozen=True, slots=True)
class Request:
    """A checkpoint that was handed in: the folder with its files, and the user's own step."""

    name: str
    folder: str
    step: float | None


class Spool:
    """The spool of one attempt; a new one begins empty."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        remove_folder(folder)
        os.mkdir(folder, mode=0o700)

    def names(self) -> list[str]:
        """Return the names of what was handed in and not answered, oldest first."""
        try:
            return sorted(name for name in os.listdir(self._folder) if _REQUEST.match(name))
        except OSError:
            return []

    def read(self, name: str) -> Request:
        """Return what was handed in.

        Raises:
            InvalidInputError: it is malformed, or there are no files in it.
        """
        folder = os.path.join(self._folder, name)
        files = os.path.join(folder, FILES_NAME)
        try:
            given = read_json(folder, REQUEST_NAME)
        except RunFailedError as error:
            raise InvalidInputError(str(error)) from error
        if not isinstance(given, dict) or os.path.islink(files) or not has_files(files):
            raise InvalidInputError("a checkpoint needs files")
        return Request(name, files, check_step(given.get("step")))

    def answer(self, name: str, *, commit: str | None = None, error: str | None = None) -> None:
        """Say what became of a request, and remove it. One that can't be answered is removed too."""
        path = os.path.join(self._folder, name + ANSWER_SUFFIX)
        with contextlib.suppress(OSError):
            with open(path + _DRAFT_SUFFIX, "w", encoding="utf-8") as file:
                json.dump({"commit": commit} if error is None else {"error": error}, file)
            os.rename(path + _DRAFT_SUFFIX, path)
        remove_folder(os.path.join(self._folder, name))

    def explain(self, error: AhError | OSError, name: str) -> str:
        """Return a message about a request with the machine's path taken out."""
        return str(error).replace(os.path.join(self._folder, name, FILES_NAME), "checkpoint")
