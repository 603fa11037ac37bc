"""Commands that are imported when they are used, so that ``ah --help`` stays quick.

A group knows its commands by name, place and one line of help. A form group (``create``, ``ls``,
``show`` …) has a second reading: when its first word is none of its commands, the word is a path
(``ah create model/llm``).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from ahstore.cli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Commands = Mapping[str, tuple[str, str]]
"""By name: the place ``module:attribute``, and one line of help."""

PATH_FORM = "PATH"


class ReaderGoneError(Exception):
    """Whoever read standard output went away."""


class Verb(click.Command):
    """A command that takes ``--store`` and ``--quiet`` also behind its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [store_option(), quiet_option()]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and flush what it wrote, while a reader gone can still be told."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ReaderGoneError from None
        return result


def store_option() -> click.Option:
    """Return ``--store``."""
    return click.Option(
        ["--store"],
        metavar="URL",
        expose_value=False,
        is_eager=True,
        callback=_remember_store,
        help="The store: a path, file:///… or memory://NAME.",
    )


def quiet_option() -> click.Option:
    """Return ``--quiet``."""
    return click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_remember_quiet,
        help="No AH INFO messages and no progress.",
    )


def _remember_store(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value == "":
        raise click.BadParameter("it is empty.", ctx)
    if value is not None:
        ctx.ensure_object(Session).url = value


def _remember_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).quiet = True


class LazyGroup(click.Group):
    """A group of commands imported on use; ``sections`` are headings and their commands."""

    def __init__(self, *args: Any, sections: Mapping[str, Commands], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self.places = {name: place for part in sections.values() for name, place in part.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the help."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in self.places:
            return None
        module, _, attribute = self.places[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands under their headings, without importing any."""
        for heading, commands in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a word that is none, say what may have been meant."""
        name = args[0]
        if name not in self.places and not name.startswith("-"):
            from difflib import get_close_matches  # only for those who mistype

            near = get_close_matches(name, self.places, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"There is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


class FormGroup(LazyGroup):
    """A group whose first word may be a path instead; ``place`` is that of the path's command."""

    def __init__(self, *args: Any, forms: Commands, place: str, **kwargs: Any) -> None:
        super().__init__(*args, sections={"Forms": forms}, **kwargs)
        self._place = place

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a form's command, or that of the short form."""
        if cmd_name == PATH_FORM:
            module, _, attribute = self._place.partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the form's name first: it may stand behind options, or be left out."""
        if args and args[0] not in self.get_help_option_names(ctx):
            words = [word for word in args if not word.startswith("-")]
            form = words[0] if words and words[0] in self.places else PATH_FORM
            rest = list(args)
            if form != PATH_FORM:
                rest.remove(form)
            args = [form, *rest]
        elif not args and not self.no_args_is_help and not ctx.resilient_parsing:
            args = [PATH_FORM]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete to a form, or to what the path's command takes first."""
        short = self.get_command(ctx, PATH_FORM)
        assert short is not None
        paths = short.params[0].shell_complete(ctx, incomplete)
        return [*super().shell_complete(ctx, incomplete), *paths]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show both readings."""
        formatter.write_usage(ctx.command_path, "FORM … | PATH [OPTIONS]")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the form's command; the short form has no name of its own in messages."""
        if args[0] == PATH_FORM:
            return "", self.get_command(ctx, PATH_FORM), args[1:]
        return super().resolve_command(ctx, args)
