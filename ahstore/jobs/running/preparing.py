"""The Python of a run: found, or made of what the code asks for, and what follows for its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from ahstore.codec.canonical import Value
from ahstore.ids import RunId
from ahstore.jobs.code.requirements import read_declaration
from ahstore.jobs.logs import LogWriter
from ahstore.jobs.running.installer import Installer, installer_environment
from ahstore.jobs.running.interpreter import ask_interpreter, find_interpreter, find_uv
from ahstore.jobs.running.venv import Environments
from ahstore.jobs.running.watch import Watch
from ahstore.jobs.running.workspace import Workspace
from ahstore.jobs.spec import RunSpec


@dataclass(frozen=True, slots=True)
class RunPython:
    """What ``python`` is in a run.

    Attributes:
        path: of the interpreter.
        venv: the folder of its virtual environment if one was made for runs, else None.
        import_paths: folders of the code that modules are imported from.
        about: what the run's record says of the virtual environment, None without one.
    """

    path: str = sys.executable
    venv: str | None = None
    import_paths: tuple[str, ...] = ()
    about: Mapping[str, Value] | None = None


def prepare_python(
    spec: RunSpec,
    workspace: Workspace,
    caller: Mapping[str, str],
    *,
    run: RunId,
    held: ExitStack,
    log: LogWriter,
    watch: Watch,
    poll: Callable[[], None],
) -> RunPython:
    """Return the run's Python; a shared environment is kept until ``held`` is closed.

    Raises:
        NotFoundError: there is no such interpreter, or nothing says which packages are needed.
        InvalidInputError: what the code asks for can't be read, or can't be shared.
        RunFailedError: its packages can't be installed.
        StopRequestedError, RunOverError: the run is not to go on.
    """
    path = find_interpreter(spec.runtime.python, caller)
    if not spec.runtime.venv:
        if path != sys.executable:
            workspace.set_python(path)
        return RunPython(path)
    declaration = read_declaration(workspace.code, spec.code.subpath)
    environments = Environments(os.path.dirname(workspace.root))
    installer = Installer(
        find_uv(caller),
        installer_environment(caller, run=run),
        on_line=lambda line: log.write(f"{line}\n".encode()),
        on_tick=log.tick,
        should_stop=watch.should_stop,
        raise_why=watch.raise_why,
    )
    made = held.enter_context(
        environments.use(declaration, ask_interpreter(path), installer, poll=poll, on_note=log.note)
    )
    workspace.set_python(made.python)
    return RunPython(made.python, made.venv, tuple(declaration.import_paths()), made.to_value())
