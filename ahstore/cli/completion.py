"""``ah completion``: shell completion."""

from __future__ import annotations

import click

from ahstore.cli.emit import emit
from ahstore.cli.lazy import Verb


@click.command(cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Write a script that completes ah's commands and options.

    \b
    bash:  ah completion bash >> ~/.bashrc
    zsh:   ah completion zsh >> ~/.zshrc
    fish:  ah completion fish > ~/.config/fish/completions/ah.fish
    """  # noqa: D301  \b is a control character here
    from click.shell_completion import get_completion_class  # start-up

    kind = get_completion_class(shell)
    assert kind is not None
    name = ctx.find_root().info_name or "ah"
    variable = f"_{name.replace('-', '_')}_COMPLETE".upper()
    script = kind(ctx.find_root().command, {}, name, variable)
    emit([script.source_template % script.source_vars(), "\n"])
