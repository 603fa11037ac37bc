"""The folders of one run on the machine that runs it: where its code, inputs and outputs lie.

``<runs root>/<run id>/{code,dataset,checkpoint,output,results,spool,tmp,home,bin,python,logs}``,
readable by the user alone. What the run writes (everything but its inputs and our logs) is what
``volume`` limits.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from dataclasses import dataclass

from ahstore.errors import InvalidInputError, StorageError
from ahstore.ids import RunId, parse_entity_id
from ahstore.jobs.running.run_package import write_run_package

PYTHONS = ("python", "python3")
METRICS_NAME = "metric.json"

_MADE_FIRST = ("output", "results", "tmp", "home", "bin", "logs")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The paths of a run's folders; ``root`` is absolute and holds the others."""

    root: str

    @staticmethod
    def of(runs_root: str, run: RunId) -> Workspace:
        """Return the workspace of a run, which need not exist."""
        return Workspace(os.path.join(os.path.abspath(runs_root), parse_entity_id(run)))

    @property
    def code(self) -> str:
        """The checkout of the repository."""
        return os.path.join(self.root, "code")

    @property
    def dataset(self) -> str:
        """The dataset's files, read-only."""
        return os.path.join(self.root, "dataset")

    @property
    def checkpoint(self) -> str:
        """The model's files to continue from or to evaluate, read-only."""
        return os.path.join(self.root, "checkpoint")

    @property
    def output(self) -> str:
        """What a training leaves for the commit."""
        return os.path.join(self.root, "output")

    @property
    def results(self) -> str:
        """What an evaluation leaves: ``<key>.json``."""
        return os.path.join(self.root, "results")

    @property
    def metrics_file(self) -> str:
        """Where a run may leave its metrics: an evaluation's result ``metric``."""
        return os.path.join(self.results, METRICS_NAME)

    @property
    def spool(self) -> str:
        """Where the code hands in checkpoints while it runs."""
        return os.path.join(self.root, "spool")

    @property
    def tmp(self) -> str:
        """``TMPDIR`` of the run."""
        return os.path.join(self.root, "tmp")

    @property
    def home(self) -> str:
        """``HOME`` of the run."""
        return os.path.join(self.root, "home")

    @property
    def programs(self) -> str:
        """First on the run's ``PATH``: ``python`` as the run's interpreter."""
        return os.path.join(self.root, "bin")

    @property
    def packages(self) -> str:
        """The run's ``PYTHONPATH``: ``ahstore.run``, whichever Python it uses."""
        return os.path.join(self.root, "python")

    @property
    def logs(self) -> str:
        """What the supervisor itself has to say when all else fails."""
        return os.path.join(self.root, "logs")

    @property
    def limited(self) -> tuple[str, ...]:
        """The folders whose sizes add up to what ``volume`` limits."""
        return (self.code, self.output, self.results, self.tmp, self.home, self.spool)

    def create(self) -> None:
        """Make the folders that a run needs before its inputs come.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            os.makedirs(os.path.dirname(self.root), mode=0o700, exist_ok=True)
            os.mkdir(self.root, mode=0o700)
            for name in _MADE_FIRST:
                os.mkdir(os.path.join(self.root, name), mode=0o700)
            self.set_python(sys.executable)
            write_run_package(self.packages)
        except OSError as error:
            raise StorageError(
                f"can't make the run's folder {self.root}: {error.strerror}", path=self.root
            ) from error

    def set_python(self, python: str) -> None:
        """Have ``python`` of the run mean this interpreter."""
        for name in PYTHONS:
            self._make_program(name, python)

    def _make_program(self, name: str, program: str) -> None:
        # A script, not a link: an interpreter of a virtual environment knows it by its path.
        path = os.path.join(self.programs, name)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f'#!/bin/sh\nexec {shlex.quote(program)} "$@"\n')
        os.chmod(path, 0o700)

    def code_folder(self, subpath: str) -> str:
        """Return the run's working directory, ``subpath`` of the checkout.

        Raises:
            InvalidInputError: it is no folder, or a symbolic link leads it out of the checkout.
        """
        top = os.path.realpath(self.code)
        folder = os.path.realpath(os.path.join(top, subpath))
        if folder != top and not folder.startswith(os.path.join(top, "")):
            raise InvalidInputError(f"git subpath {subpath!r} leads out of the repository")
        if not os.path.isdir(folder):
            raise InvalidInputError(f"git subpath {subpath!r} is not a folder of the repository")
        return folder

    def begin_anew(self) -> None:
        """Remove what an attempt at the code left; the dataset stays, which is read only.

        Raises:
            StorageError: the disk refuses.
        """
        fresh = (self.output, self.results, self.tmp, self.home)
        for folder in (self.code, self.checkpoint, self.spool, *fresh):
            remove_folder(folder)
        try:
            for folder in fresh:
                os.mkdir(folder, mode=0o700)
        except OSError as error:
            raise StorageError(
                f"can't make the run's folder {error.filename} again: {error.strerror}",
                path=self.root,
            ) from error

    def remove_inputs(self) -> None:
        """Remove what can be had again: inputs, what was handed in, temporary files."""
        for folder in (self.dataset, self.checkpoint, self.spool, self.tmp):
            remove_folder(folder)

    def remove(self) -> None:
        """Remove everything."""
        remove_folder(self.root)


def remove_folder(folder: str) -> None:
    """Remove a folder with all below it, even where the run took its own permissions away."""
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    for path, names, _ in os.walk(folder):
        for name in names:
            below = os.path.join(path, name)
            if not os.path.islink(below):
                with contextlib.suppress(OSError):
                    os.chmod(below, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
