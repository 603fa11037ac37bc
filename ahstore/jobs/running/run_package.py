"""The ``ahstore`` that code of a run finds first, whichever Python runs it.

``write_run_package`` copies this file as ``ahstore/__init__.py``, with ``ahstore/run.py`` beside it,
to a folder that comes first on the run's ``PYTHONPATH``. Imported from there it becomes the ahstore
that this Python has, if it has one, of whatever version; but ``ahstore.run`` stays the copy: it
speaks with the supervisor that started the run, and must be of its version. So this file imports
nothing but the standard library and works in every Python from 3.7 on, as ``run.py`` does.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NAME = "ahstore"
RUN = "run.py"


def write_run_package(folder: str) -> None:
    """Write the package to ``folder``, which must not exist.

    Raises:
        OSError: the disk refuses.
    """
    package = os.path.join(folder, NAME)
    os.makedirs(package, mode=0o700)
    this = os.path.abspath(__file__)
    # Not imported: ``run`` is no floor below this one, only a file that goes along.
    ahstore = os.path.dirname(os.path.dirname(os.path.dirname(this)))
    shutil.copyfile(this, os.path.join(package, "__init__.py"))
    shutil.copyfile(os.path.join(ahstore, RUN), os.path.join(package, RUN))


def _become_the_installed() -> None:
    """Take the place of this module by the ahstore that would be found without it."""
    here = os.path.dirname(os.path.abspath(__file__))
    run = _load(importlib.util.spec_from_file_location(NAME + ".run", os.path.join(here, RUN)))
    found = _find_without(os.path.realpath(os.path.dirname(here)))
    if found is None:
        _say_what_is_missing("is not installed for this Python")
    else:
        this = sys.modules[NAME]
        try:
            _load(found)
        except Exception as error:  # whatever is wrong with it, the run can go on
            sys.modules[NAME] = this
            _say_what_is_missing(f"can't be imported: {error!r}")
    # Importing took the module that was there for the installed one's own.
    sys.modules[NAME].run = run  # type: ignore[attr-defined]


def _load(spec: ModuleSpec | None) -> ModuleType:
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _find_without(folder: str) -> ModuleSpec | None:
    """Return the spec that an import would find were ``folder`` not on the path, or None."""
    path = [place for place in sys.path if os.path.realpath(place or os.curdir) != folder]
    for finder in sys.meta_path:
        if finder is PathFinder:
            spec = PathFinder.find_spec(NAME, path)
        elif hasattr(finder, "find_spec"):
            spec = finder.find_spec(NAME, None)
        else:
            continue
        # No namespace (a folder of that name), and not this file by way of another finder.
        if spec is not None and spec.has_location and not _is_below(spec, folder):
            return spec
    return None


def _is_below(spec: ModuleSpec, folder: str) -> bool:
    return os.path.realpath(spec.origin or "").startswith(os.path.join(folder, ""))


def _say_what_is_missing(why: str) -> None:
    def missing(_: str) -> object:
        raise AttributeError(f"module {NAME!r} has only 'run' here: ahstore itself {why}")

    sys.modules[NAME].__getattr__ = missing  # type: ignore[method-assign]


if __name__ == NAME:
    _become_the_installed()
