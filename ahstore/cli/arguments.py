"""Options and arguments that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ahstore.errors import InvalidInputError

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON.")(command)


def label_options(command: Command) -> Command:
    """Add ``--label`` and ``--description``."""
    command = click.option("--description", metavar="TEXT", help="What it is.")(command)
    return click.option(
        "-l", "--label", "labels", multiple=True, metavar="LABEL", help="A label; repeat for more."
    )(command)


def expect_option(command: Command) -> Command:
    """Add ``--expect``."""
    return click.option(
        "--expect", metavar="COMMIT", help="Fail unless the branch is at this commit."
    )(command)


def metadata_option(command: Command) -> Command:
    """Add ``--metadata``."""
    return click.option(
        "--metadata",
        multiple=True,
        metavar="KEY=VALUE",
        help="What the commit carries beside its message; repeat for more.",
    )(command)


def strategy_option(*choices: str, text: str) -> Callable[[Command], Command]:
    """Add ``--strategy``."""
    return click.option(
        "--strategy", type=click.Choice(choices), default=choices[0], show_default=True, help=text
    )


def rehash_option(command: Command) -> Command:
    """Add ``--rehash``."""
    return click.option(
        "--rehash", is_flag=True, help="Read all files, also those known to be unchanged."
    )(command)


def env_option(command: Command) -> Command:
    """Add ``--env``."""
    return click.option(
        "--env",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="A variable for the code; without VALUE yours, which is not recorded; repeat for more.",
    )(command)


def run_options(command: Command) -> Command:
    """Add what ``train`` and ``evaluate`` share."""
    options = [
        click.option("-d", "--dataset", required=True, metavar="DATASET[:REF]", help="The dataset; its main without REF."),
        click.option("-v", "--volume", required=True, metavar="SIZE", help="The most that the run's files may take: 100Mi, 2Gi."),
        click.option("-r", "--git-repo", required=True, metavar="REPO", help="The code's git repository: URL or local path."),
        click.option("-i", "--git-revision", required=True, metavar="REVISION", help="Branch, tag or commit of the code."),
        click.option("-s", "--git-subpath", default=".", metavar="SUBPATH", help="Folder of the code in the repository."),
        click.option("--with-changes", is_flag=True, help="Take what is not committed in the working copy REPO too."),
        click.option("-p", "--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter for the code; repeat for more."),
        click.option("--python", metavar="PYTHON", help="Interpreter for the code: a path, a version (3.11) or a name."),
        click.option("--venv", is_flag=True, help="Run in an environment of the packages that the code names."),
        env_option,
        click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="End the run as failed after so long."),
        click.option("--retries", type=click.IntRange(min=0, max=100), metavar="N", help="Run the code again, N times at most, when it fails or takes too long."),
        click.option("--retry-wait", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait so long before the first retry (10), twice as long before the next."),
        click.option("--reuse", is_flag=True, help="Take the result of an earlier run that did the same, if it is still there."),
        click.option("--at-once", type=click.IntRange(min=1), metavar="N", help="Queue the run: N queued runs work at once on this machine."),
        click.option("--engine", type=click.Choice(("local", "slurm", "ray")), help="What carries the run out; local, this machine, unless AH_ENGINE says otherwise."),
        click.option("--engine-option", "engine_options", multiple=True, metavar="KEY=VALUE", help="A setting of the engine: partition=gpu, address=http://…; repeat for more."),
        click.option("--cpus", type=click.IntRange(min=1), metavar="N", help="Processors for the run, and as many threads."),
        click.option("--gpus", type=click.IntRange(min=0), metavar="N", help="Accelerators for the run."),
        click.option("--memory", metavar="SIZE", help="The most memory that it may have: 4Gi."),
        click.option("--time", metavar="TIME", help="The longest that it may take: 90m, 12h, 1-12:00:00."),
        click.option("--wait", is_flag=True, help="Wait until the run has ended; exit 1 if it failed."),
        json_option,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def what_to_run(given: dict[str, Any]) -> dict[str, Any]:
    """Return what ``run_options`` took as the arguments of `Model.train` and `Version.evaluate`."""
    params, env = given.pop("params"), given.pop("env")
    engine_options = given.pop("engine_options")
    return {
        **given,
        "params": parse_pairs(params, "parameter"),
        "env": parse_env(env),
        "engine_options": parse_settings(engine_options),
    }


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """Return ``KEY=VALUE`` arguments by key, the later of two; a ``KEY`` alone has "".

    Raises:
        InvalidInputError: there is no key.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (key, _, _) in zip(texts, pairs, strict=True):
        if not key.strip():
            raise InvalidInputError(f"invalid engine option {text!r}: write KEY=VALUE", value=text)
    return {key: value for key, _, value in pairs}


def parse_pairs(texts: Sequence[str], what: str) -> dict[str, Any]:
    """Return ``KEY=VALUE`` arguments by key; a value that is JSON (a number, true …) is taken as such.

    Raises:
        InvalidInputError: there is no ``=``, no key, or a key twice.
    """
    pairs: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InvalidInputError(f"invalid {what} {text!r}: write KEY=VALUE", value=text)
        if key in pairs:
            raise InvalidInputError(f"{what} {key!r} is given twice", value=text)
        pairs[key] = _value(value)
    return pairs


def parse_env(texts: Sequence[str]) -> dict[str, str | None]:
    """Return ``NAME=VALUE`` arguments by name; for ``NAME`` alone the value is None.

    Raises:
        InvalidInputError: a name is given twice.
    """
    found: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name in found:
            raise InvalidInputError(f"variable {name!r} is given twice", name=name)
        found[name] = value if equals else None
    return found


def parse_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Return ``KEY=V1,V2…`` arguments as lists of values by key; each value as in `parse_pairs`.

    Raises:
        InvalidInputError: there is no ``=``, no key, or a key twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not key.strip():
            raise InvalidInputError(f"invalid sweep {text!r}: write KEY=V1,V2", value=text)
        if key in grid:
            raise InvalidInputError(f"the sweep of {key!r} is given twice", value=text)
        grid[key] = [_value(value) for value in values.split(",")]
    return grid


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
