"""What the documentation takes from the code and the folders when it is built.

``nav`` entries that end in ``/`` become the pages of that folder, ``index.md`` first, and the page
``reference/cli.md`` is written from the commands themselves, so that it can't be out of date.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import click
from ahstore.cli.main import cli
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CLI_PAGE = "reference/cli.md"
PROGRAM = "ah"


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
    yield ""
    yield from _command_section(cli, [PROGRAM], None)


def _command_section(
    command: click.Command, words: list[str], parent: click.Context | None
) -> Iterator[str]:
    context = click.Context(command, info_name=words[-1], parent=parent)
    yield f"{'#' * min(len(words) + 1, 4)} {' '.join(words)}"
    yield ""
    yield from _usage(command, context)
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _command_section(child, [*words, name], context)


def _usage(command: click.Command, context: click.Context) -> Iterator[str]:
    yield "```text"
    yield " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield "```"
    yield ""
    formatter = click.HelpFormatter(width=100)
    command.format_help_text(context, formatter)
    command.format_epilog(context, formatter)
    text = formatter.getvalue()
    if text.strip():
        yield from ("```text", *_dedent(text), "```", "")


def _dedent(text: str) -> list[str]:
    lines = text.strip("\n").splitlines()
    return [line.removeprefix("  ") for line in lines]


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            rows.append(record)
    if not rows:
        return
    yield "| option | |"
    yield "| --- | --- |"
    for option, help_text in rows:
        yield f"| `{_cell(option)}` | {_cell(help_text)} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
