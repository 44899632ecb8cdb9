"""Who asks: tokens that rotate, plugins as real programs, and the answer 401."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bodywork.errors import MachineError, UnreachableError, UsageError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.client.kubeconfig import access
from loopback import Asked, Reply, Server

Connect = Callable[..., Api]
VERSION = {"major": "1", "minor": "34+"}
V1 = "client.authentication.k8s.io/v1"


def guarded(accepted: set[str]) -> Server:
    """Lets in those whose Authorization is in `accepted`."""

    async def handler(asked: Asked) -> Reply:
        if asked.headers.get("authorization") in accepted:
            return Reply(body=VERSION)
        return Reply(status=401, body={"kind": "Status", "code": 401, "message": "Unauthorized"})

    return Server(handler)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A user that logs in by a script, which notes each of its runs in the file `runs`."""

    def make(body: str, *, version: str = V1, **more: Any) -> dict[str, Any]:
        script = tmp_path / "login"
        script.write_text(f'#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" >> {tmp_path}/runs\n{body}\n')
        script.chmod(0o755)
        return {"exec": {"apiVersion": version, "command": "./login", "interactiveMode": "Never", **more}}

    return make


def runs(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "runs").read_text().splitlines()]


def printing(version: str = V1, **status: str) -> str:
    said = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    return f"cat <<'END'\n{json.dumps(said)}\nEND"


async def test_a_token(connect: Connect) -> None:
    async with guarded({"Bearer secret"}) as server:
        assert await connect(server.url, user={"token": "secret"}).version() == (1, 34)


async def test_a_name_and_a_password(connect: Connect) -> None:
    known = "Basic " + base64.b64encode(b"me:pass:word").decode()
    async with guarded({known}) as server:
        await connect(server.url, user={"username": "me", "password": "pass:word"}).version()


async def test_acting_as_another(connect: Connect) -> None:
    user = {
        "token": "secret",
        "as": "deployer",
        "as-groups": ["a", "b"],
        "as-user-extra": {"Reason/Why": ["x"]},
    }
    async with guarded({"Bearer secret"}) as server:
        await connect(server.url, user=user).version()
        headers = server.asked[0].headers
    assert headers["impersonate-user"] == "deployer"
    assert headers["impersonate-group"] == "b"  # of both, the last one read by this server
    assert headers["impersonate-extra-reason%2fwhy"] == "x"


async def test_a_token_file_is_read_anew_when_it_has_rotated(connect: Connect, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    accepted = {"Bearer one"}
    async with guarded(accepted) as server:
        api = connect(server.url, user={"tokenFile": "token"})
        await api.version()
        token.write_text("two\n")
        accepted.add("Bearer two")
        accepted.discard("Bearer one")
        await api.version()
        token.unlink()
        with pytest.raises(UsageError, match="cannot be read from"):
            await api.version()


async def test_a_token_that_rotates_in_the_very_moment(connect: Connect, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one")

    async def handler(asked: Asked) -> Reply:
        if asked.headers["authorization"] == "Bearer one":
            token.write_text("two")
            return Reply(status=401, body=b"")
        return Reply(body=VERSION)

    async with Server(handler) as server:
        await connect(server.url, user={"tokenFile": "token"}).version()


@pytest.mark.parametrize("version", [V1, "client.authentication.k8s.io/v1beta1"])
async def test_a_plugin(connect: Connect, plugin: Any, tmp_path: Path, version: str) -> None:
    user = plugin(printing(version, token="from-plugin"), version=version)
    async with guarded({"Bearer from-plugin"}) as server:
        api = connect(server.url, user=user)
        await asyncio.gather(*(api.version() for _ in range(20)))
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    assert runs(tmp_path) == [info], "it runs once, however many wait for it"


async def test_a_plugin_has_its_arguments_variables_and_the_cluster(
    connect: Connect, plugin: Any, tmp_path: Path
) -> None:
    said = f'{{"apiVersion": "{V1}", "status": {{"token": "'
    body = f'printf \'%s%s-%s-%s%s\' \'{said}\' "$1" "$OURS" "$THEIRS" \'"}}}}\''
    user = plugin(body, args=["arg"], env=[{"name": "OURS", "value": "env"}], provideClusterInfo=True)
    extensions = [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}]
    async with guarded({"Bearer arg-env-kept"}) as server:
        cluster = {"extensions": extensions, "insecure-skip-tls-verify": True}
        await connect(server.url, user=user, cluster=cluster, environment={"THEIRS": "kept"}).version()
        told = runs(tmp_path)[0]["spec"]["cluster"]
        assert told == {"server": server.url, "insecure-skip-tls-verify": True, "config": {"audience": "x"}}


async def test_a_plugin_runs_again_when_its_token_ends(connect: Connect, plugin: Any, tmp_path: Path) -> None:
    for left, expected in ((timedelta(seconds=5), 2), (timedelta(hours=1), 1)):
        ends = (datetime.now(UTC) + left).strftime("%Y-%m-%dT%H:%M:%SZ")
        user = plugin(printing(token="t", expirationTimestamp=ends))
        (tmp_path / "runs").write_text("")
        async with guarded({"Bearer t"}) as server:
            api = connect(server.url, user=user)
            await api.version()
            await api.version()
        assert len(runs(tmp_path)) == expected


async def test_a_plugin_runs_again_once_when_its_token_is_refused(
    connect: Connect, plugin: Any, tmp_path: Path
) -> None:
    user = plugin(
        f'n=$(wc -l < {tmp_path}/runs)\ncat <<END\n{{"apiVersion":"{V1}","status":{{"token":"t$n"}}}}\nEND'
    )
    accepted = {"Bearer t1"}
    async with guarded(accepted) as server:
        api = connect(server.url, user=user)
        await api.version()
        accepted.clear()
        accepted.add("Bearer t2")
        await asyncio.gather(*(api.version() for _ in range(10)))
        assert len(runs(tmp_path)) == 2, "ten requests were refused, and one login is enough"
        accepted.clear()
        with pytest.raises(UnreachableError) as caught:
            await api.version()
        assert len(runs(tmp_path)) == 3
    assert "does not accept the credentials of user `me`" in caught.value.message
    assert "log in again with the tool that" in (caught.value.hint or "")


async def test_a_plugin_that_is_not_there(connect: Connect, plugin: Any) -> None:
    missing = {"exec": {"apiVersion": V1, "command": "cloud-login", "installHint": "see cloud.example"}}
    with pytest.raises(MachineError, match="by the program `cloud-login`, which is not there") as caught:
        await connect("http://127.0.0.1:1", user=missing).version()
    assert caught.value.hint == "see cloud.example"


@pytest.mark.parametrize(
    ("body", "more", "words"),
    [
        (
            "echo one >&2; echo 'your session has expired' >&2; exit 7",
            {},
            r"exit code 7(.|\n)*session has expired",
        ),
        ("echo not json", {}, "not an ExecCredential"),
        (printing("client.authentication.k8s.io/v1beta1", token="t"), {}, "answered in version"),
        (printing(), {}, "neither a token nor a certificate"),
        ("true", {"interactiveMode": "Always"}, "bodywork never asks"),
        ("read answer || exit 3", {}, "exit code 3"),
    ],
)
async def test_a_plugin_that_fails(
    connect: Connect, plugin: Any, body: str, more: dict[str, str], words: str
) -> None:
    with pytest.raises(UnreachableError, match=words) as caught:
        await connect("http://127.0.0.1:1", user=plugin(body, args=["get-token"], **more)).version()
    assert "log in again" in (caught.value.hint or "")
    assert "get-token" not in str(caught.value), "nor what it is called with"
    assert "not json" not in caught.value.message, "what a plugin prints may be a secret"


async def test_a_token_that_has_expired_says_how_to_go_on(connect: Connect) -> None:
    async with guarded(set()) as server:
        with pytest.raises(UnreachableError) as caught:
            await connect(server.url, user={"token": "old"}).version()
        assert len(server.asked) == 1, "a token that cannot change is not sent twice"
    assert "get a new one" in (caught.value.hint or "")
    assert "kubectl --context test auth whoami" in (caught.value.hint or "")
    assert "old" not in caught.value.message


def test_secrets_are_in_no_representation(connect: Connect, tmp_path: Path) -> None:
    connect("http://127.0.0.1:1", user={"token": "hidden", "username": "u", "password": "hidden"})
    shown = repr(access({"KUBECONFIG": str(tmp_path / "config-0"), "PATH": os.environ["PATH"]}))
    assert "me" in shown and "hidden" not in shown
