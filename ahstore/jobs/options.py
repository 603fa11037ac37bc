"""What may be said of a run beside its code and data: the one list of it, for every floor above."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class RunOptions(TypedDict, total=False):
    """Options of ``train`` and ``evaluate``; what is not given, or None, does nothing.

    Keys:
        params: parameters, given to the code as JSON in ``AH_PARAMS``.
        timeout: seconds after which the run is ended as failed.
        at_once: queue the run: it stays ``Pending`` while so many that were queued on this machine
            before it wait or work.
        checkpoints: where a training commits what its code hands in by ``ahstore.run.checkpoint``:
            ``own``, a branch of the run's own (the default), ``target``, or ``none``.
        retries: how often the code is run again when it fails or takes too long, from the last
            checkpoint that it handed in.
        retry_wait: seconds before the first of them (10), doubled for each that follows.
        reuse: if an earlier run of the model did the same and its result is still there, take that.
        with_changes: take what is not committed in the local working copy ``git_repo`` too, the
            checked-out commit being ``git_revision``; kept with the run as a patch.
        python: interpreter for the code, by path, version (``3.11``) or name; the one that runs
            ahstore if not given.
        venv: run the code in a virtual environment of what its ``uv.lock``, ``requirements.txt`` or
            ``pyproject.toml`` names.
        env: variables for the code, by name. With None it is the caller's, whose value is recorded
            nowhere, nor is one that looks secret.
        engine: what carries the run out: ``local`` (this machine), ``slurm`` or ``ray``.
        engine_options: settings of that engine, by name (docs/how-to/slurm.md, ray.md).
        cpus: processors.
        gpus: accelerators.
        memory: bytes, or as ``4Gi``; a run that outgrows it is ended as failed.
        time: seconds, or as ``1h30m``; a run that takes longer is ended as failed.
    """

    params: Mapping[str, Any] | None
    timeout: float | None
    at_once: int | None
    checkpoints: str | None
    retries: int | None
    retry_wait: float | None
    reuse: bool
    with_changes: bool
    python: str | None
    venv: bool
    env: Mapping[str, str | None] | None
    engine: str | None
    engine_options: Mapping[str, str] | None
    cpus: int | None
    gpus: int | None
    memory: str | int | None
    time: str | float | None


def check_options(options: RunOptions) -> None:
    """Refuse, as Python does, an option that there is not.

    Raises:
        TypeError: there is one.
    """
    unknown = sorted(set(options) - set(RunOptions.__annotations__))
    if unknown:
        raise TypeError(f"a run has no option {unknown[0]!r}")
