"""`bodywork completion`."""

from __future__ import annotations

import click

WHERE = {
    "bash": 'eval "$(bodywork completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(bodywork completion zsh)"   in ~/.zshrc',
    "fish": "bodywork completion fish > ~/.config/fish/completions/bodywork.fish",
}


@click.command(epilog="Example: " + WHERE["bash"])
@click.argument("shell", type=click.Choice(list(WHERE)))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete commands and options."""
    from click.shell_completion import get_completion_class

    from bodywork.cli.main import bodywork

    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(completion(bodywork, {}, "bodywork", "_BODYWORK_COMPLETE").source())
