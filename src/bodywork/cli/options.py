"""Options that several commands share."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click


def known_pipelines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The pipelines that the shell offers to complete; none when they cannot be read."""
    from bodywork.app.parts import Parts
    from bodywork.errors import BodyworkError

    try:
        names = Parts(Parts.ours_now()).history.pipelines()
    except BodyworkError:
        return []
    return [name for name in names if name.startswith(incomplete)]


pipeline = click.argument("pipeline", shell_complete=known_pipelines)
any_pipeline = click.argument("pipeline", required=False, shell_complete=known_pipelines)
target = click.option(
    "--target",
    default="local",
    envvar="BODYWORK_TARGET",
    show_default=True,
    metavar="TARGET",
    help="Where: local, kubernetes, or kubernetes:CONTEXT for a context of the kubeconfig.",
)
namespace = click.option(
    "--namespace",
    envvar="BODYWORK_NAMESPACE",
    metavar="NAME",
    help="The pipeline's namespace on kubernetes (default: what bodywork.yaml says, else its name).",
)
image = click.option(
    "--image",
    envvar="BODYWORK_IMAGE",
    metavar="NAME",
    help="The image of stages on kubernetes, instead of the published ones; {python} stands for the "
    "stage's Python version.",
)
store_image = click.option(
    "--store-image",
    envvar="BODYWORK_STORE_IMAGE",
    metavar="NAME",
    help="The image of the S3 server that is started on kubernetes for projects that name no store.",
)
output = click.option(
    "--output",
    "-o",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one document on stdout, for programs.",
)
ssh_key = click.option(
    "--ssh-key-file",
    "ssh_key",
    metavar="FILE",
    envvar="BODYWORK_SSH_KEY_FILE",
    help="Open the repository with this private key alone, if it is reached by ssh.",
)


git_secret = click.option(
    "--git-secret",
    metavar="NAME",
    envvar="BODYWORK_GIT_SECRET",
    help="Open the repository with this secret: its SSH_PRIVATE_KEY, or by https its PASSWORD and USERNAME.",
)


class Date(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A date, or a date and time, in RFC 3339; UTC when it names no zone."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            date = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date like 2022-06-01 or 2022-06-01T12:00:00Z", param, ctx)
        return date if date.tzinfo else date.replace(tzinfo=UTC)


def where(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which target a command is about, as a `Where`."""

    @functools.wraps(function)
    def with_where(*, target: str, namespace: str | None, **chosen: Any) -> Any:
        from bodywork.app.where import Where

        return function(where=Where(target=target, namespace=namespace), **chosen)

    return target(namespace(with_where))


def where_to_run(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which target a command runs stages on, as a `Where` with its images."""

    @functools.wraps(function)
    def with_where(**chosen: Any) -> Any:
        from bodywork.app.where import Where

        names = ("target", "namespace", "image", "store_image")
        return function(where=Where(**{name: chosen.pop(name) for name in names}), **chosen)

    return target(namespace(image(store_image(with_where))))


def git_access(function: Callable[..., Any]) -> Callable[..., Any]:
    """What opens the repository besides the user's own settings, as a `GitAccess`."""

    @functools.wraps(function)
    def with_access(*, ssh_key: str | None, git_secret: str | None, **chosen: Any) -> Any:
        from bodywork.app.git_access import GitAccess

        return function(access=GitAccess(ssh_key=ssh_key, secret=git_secret), **chosen)

    return ssh_key(git_secret(with_access))


def project(function: Callable[..., Any]) -> Callable[..., Any]:
    """What names a project at a commit: `deploy` and `plan` take the same, as a `Request`."""

    @functools.wraps(function)
    def with_request(*, only: tuple[str, ...], **chosen: Any) -> Any:
        from bodywork.app.deploy import Request

        asked = {name: chosen.pop(name) for name in ("repository", "ref", "file", "where")}
        asked |= {name: chosen.pop(name) for name in ("as_of", "offline", "access")}
        return function(Request(**asked, only=frozenset(only) or None), **chosen)

    command: Callable[..., Any] = with_request
    for decorator in reversed(
        (
            click.argument("repository", default="."),
            click.option("--ref", help="Branch, tag or commit; without it the default branch."),
            click.option(
                "--file", "-f", help="Path of bodywork.yaml, from REPOSITORY on (default: bodywork.yaml)."
            ),
            where_to_run,
            click.option(
                "--only",
                multiple=True,
                metavar="STAGE",
                help="Run only this stage; may be given several times. Inputs come from earlier runs.",
            ),
            click.option(
                "--as-of",
                type=Date(),
                help="Resolve packages as the index was at this date, whatever bodywork.yaml says.",
            ),
            click.option("--offline", is_flag=True, help="Use what was fetched before; ask no Git host."),
            git_access,
        )
    ):
        command = decorator(command)
    return command


def print_json(document: Any) -> None:
    """Data goes to stdout."""
    click.echo(json.dumps(document, indent=2))
