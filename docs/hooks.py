"""What the documentation takes from the code and the folders when it is built.

``nav`` entries that end in ``/`` become the pages of that folder, ``index.md`` first, and the page
``reference/cli.md`` is written from the commands themselves, so that it can't be out of date.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from ahstore.cli.lazy import PATH_FORM, FormGroup
from ahstore.cli.main import ah

CLI_PAGE = "reference/cli.md"
PROGRAM = "ah"
WIDTH = 100
EVERYWHERE = {"--store", "--quiet"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Expand the folders named in ``nav``."""
    config.nav = [_expand(entry, config.docs_dir) for entry in config.nav or []]
    return config


def _expand(entry: Any, docs_dir: str) -> Any:
    if isinstance(entry, dict):
        return {title: _expand(target, docs_dir) for title, target in entry.items()}
    if isinstance(entry, list):
        return [_expand(each, docs_dir) for each in entry]
    if not entry.endswith("/"):
        return entry
    names = [name for name in os.listdir(os.path.join(docs_dir, entry)) if name.endswith(".md")]
    return [entry + name for name in sorted(names, key=lambda name: (name != "index.md", name))]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command line's page."""
    files.append(File.generated(config, CLI_PAGE, content="\n".join(cli_page())))
    return files


def cli_page() -> Iterator[str]:
    """Yield the page's lines: the program, then each command with its arguments and options."""
    yield "# Command line"
    yield ""
    yield "Written from the commands themselves; `ah COMMAND --help` says the same on the terminal."
    yield "`--store` and `--quiet` may stand behind any command, too. Exit status: [one table](errors.md)."
    yield ""
    yield from _command_section(ah, [PROGRAM], None)


def _command_section(
    command: click.Command, words: list[str], parent: click.Context | None
) -> Iterator[str]:
    # With its settings: a command remembers the help option that it is first asked for.
    settings = command.context_settings
    context = click.Context(command, info_name=words[-1], parent=parent, **settings)
    yield f"{'#' * min(len(words) + 1, 4)} {' '.join(words)}"
    yield ""
    yield from _usage(command, context)
    yield from _options(command, context)
    if isinstance(command, click.Group):
        short_form = [PATH_FORM] if isinstance(command, FormGroup) else []
        for name in [*command.list_commands(context), *short_form]:
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _command_section(child, [*words, name], context)


def _usage(command: click.Command, context: click.Context) -> Iterator[str]:
    formatter = click.HelpFormatter(width=WIDTH)
    command.format_usage(context, formatter)
    yield from ("```text", *formatter.getvalue().strip().splitlines(), "```", "")
    formatter = click.HelpFormatter(width=WIDTH)
    command.format_help_text(context, formatter)
    command.format_epilog(context, formatter)
    text = inspect.cleandoc(formatter.getvalue())
    if text:
        yield from ("```text", *text.splitlines(), "```", "")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and _is_own(parameter, context):
            rows.append(record)
    if not rows:
        return
    yield "| option | |"
    yield "| --- | --- |"
    for option, help_text in rows:
        yield f"| <code>{_cell(option)}</code> | {_cell(help_text)} |"
    yield ""


def _is_own(parameter: click.Parameter, context: click.Context) -> bool:
    """Say whether an option is worth a row: what every command takes is told once, at the top."""
    if not isinstance(parameter, click.Option) or "--help" in parameter.opts:
        return False
    return context.parent is None or not EVERYWHERE & set(parameter.opts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;")
