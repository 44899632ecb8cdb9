"""The kubeconfig, read as kubectl reads it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bodywork.errors import NotFoundError, UsageError
from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.kubeconfig import access, contexts

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write("a", clusters={"c": {...}}, ...) -> path; lists are made of the mappings."""

    def make(name: str, **content: Any) -> Path:
        path = tmp_path / name / "config"
        path.parent.mkdir(exist_ok=True)
        document: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
        for key, value in content.items():
            if isinstance(value, dict):
                value = [{"name": name, key[:-1]: entry} for name, entry in value.items()]
            document[key.replace("_", "-")] = value
        path.write_text(json.dumps(document))
        return path

    return make


def read(*paths: Path, context: str | None = None, **environment: str) -> Access:
    return access({"KUBECONFIG": ":".join(map(str, paths)), **environment}, context)


WHOLE: dict[str, Any] = {
    "clusters": {"c": {"server": "https://one:6443"}},
    "users": {"u": {"token": "one"}},
    "contexts": {"x": {"cluster": "c", "user": "u", "namespace": "iris"}},
    "current_context": "x",
}


def test_one_file(write: Write) -> None:
    found = read(write("a", **WHOLE))
    assert (found.context, found.namespace) == ("x", "iris")
    assert (found.server.url, found.user.name, found.user.token) == ("https://one:6443", "u", "one")


def test_of_several_files_the_first_that_names_an_entry_gives_all_of_it(write: Write) -> None:
    first = write("a", clusters={"c": {"server": "https://first"}}, users={"u": {"username": "me"}})
    second = write("b", **WHOLE)
    third = write(
        "c",
        clusters={"d": {"server": "https://third"}},
        contexts={"x": {"cluster": "d"}, "y": {"cluster": "d", "user": "u"}},
        current_context="y",
    )
    found = read(first, second, third)
    assert found.context == "x", "the current context is that of the first file that has one"
    assert found.server.url == "https://first"
    assert (found.user.password, found.user.token) == (("me", ""), None), "entries are not mixed"
    assert read(first, second, third, context="y").server.url == "https://third"
    assert contexts({"KUBECONFIG": f"{third}:{second}"}) == ["x", "y"]


def test_files_that_are_not_there_and_empty_names_are_passed_over(write: Write, tmp_path: Path) -> None:
    environment = {"KUBECONFIG": f"::{tmp_path}/missing:{write('a', **WHOLE)}:"}
    assert access(environment).context == "x"


def test_without_kubeconfig_it_is_the_one_of_the_home_folder(write: Write, tmp_path: Path) -> None:
    write(".kube", **WHOLE)
    assert access({"HOME": str(tmp_path)}).context == "x"
    assert access({"HOME": str(tmp_path), "KUBECONFIG": ""}).context == "x"


def test_paths_are_relative_to_the_file_that_names_them(write: Write, tmp_path: Path) -> None:
    first = write(
        "a", users={"u": {"client-certificate": "me.crt", "client-key": "keys/me.key", "tokenFile": "t"}}
    )
    second = write(
        "b", **{**WHOLE, "clusters": {"c": {"server": "https://c", "certificate-authority": "ca.crt"}}}
    )
    (tmp_path / "a" / "keys").mkdir()
    for name in ("a/me.crt", "a/keys/me.key", "b/ca.crt"):
        (tmp_path / name).write_text(name)
    found = read(first, second)
    assert found.user.certificate is not None
    assert (found.user.certificate.chain, found.user.certificate.key) == (b"a/me.crt", b"a/keys/me.key")
    assert found.user.token_file == tmp_path / "a" / "t"
    assert found.server.authority == b"b/ca.crt"


def test_data_goes_before_files(write: Write) -> None:
    data = base64.b64encode(b"pem").decode()
    cluster = {
        "server": "https://c",
        "certificate-authority": "missing",
        "certificate-authority-data": data,
        "tls-server-name": "name",
    }
    found = read(write("a", **{**WHOLE, "clusters": {"c": cluster}}))
    assert (found.server.authority, found.server.tls_name) == (b"pem", "name")


def test_a_plugin_beside_the_file_or_in_the_path(write: Write, tmp_path: Path) -> None:
    def plugin(command: str) -> Any:
        user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": None}}
        return read(write("a", **{**WHOLE, "users": {"u": user}})).user.plugin

    assert plugin("aws").command == "aws"
    assert plugin("bin/login").command == str(tmp_path / "a" / "bin" / "login")
    assert plugin("/opt/login").command == "/opt/login"


def test_a_context_without_a_user_is_nobody(write: Write) -> None:
    found = read(write("a", **{**WHOLE, "contexts": {"x": {"cluster": "c"}}, "users": None}))
    assert (found.user.name, found.user.token, found.namespace) == ("", None, "default")


def test_a_proxy_of_the_cluster_goes_before_that_of_the_environment(write: Write) -> None:
    plain = write("a", **WHOLE)
    named = write("b", clusters={"c": {"server": "https://one", "proxy-url": "socks5://jump:1080"}})
    assert read(plain, HTTPS_PROXY="proxy:3128").server.proxy == "http://proxy:3128"
    assert read(named, plain, HTTPS_PROXY="proxy:3128").server.proxy == "socks5://jump:1080"
    assert read(plain, HTTPS_PROXY="proxy:3128", NO_PROXY="one").server.proxy is None


def test_no_kubeconfig_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no kubeconfig with a context was found") as caught:
        access({"HOME": str(tmp_path)}, account=tmp_path)
    assert str(tmp_path / ".kube" / "config") in caught.value.message
    assert "KUBECONFIG" in (caught.value.hint or "")


def test_a_pods_account_counts_only_where_there_is_no_kubeconfig(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    pod = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = access(pod, account=tmp_path)
    assert (found.server.url, found.context, found.namespace) == (
        "https://[fd00::1]:443",
        "in-cluster",
        "default",
    )
    named = {**pod, "KUBECONFIG": str(write("a", **WHOLE))}
    assert access(named, account=tmp_path).context == "x"
    with pytest.raises(NotFoundError):
        access(pod, "prod", account=tmp_path)


def test_an_unknown_context_names_the_nearest(write: Write) -> None:
    path = write("a", **{**WHOLE, "contexts": {"staging": {"cluster": "c"}, "production": {"cluster": "c"}}})
    with pytest.raises(NotFoundError, match=r'no context `prodcution` .*did you mean "production"') as caught:
        read(path, context="prodcution")
    assert caught.value.hint == "the contexts are staging, production"
    assert read(path, context="staging").context == "staging"


def test_no_context_is_chosen(write: Write) -> None:
    with pytest.raises(UsageError, match="no context is chosen") as caught:
        read(write("a", **{**WHOLE, "current_context": ""}))
    assert "--target kubernetes:CONTEXT" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"contexts": {"x": {"cluster": "other", "user": "u"}}},
            "names the cluster `other`, which no file has",
        ),
        ({"contexts": {"x": {"cluster": "c", "user": "other"}}}, "the user `other`, which no file has"),
        ({"contexts": {"x": None}}, "names no cluster"),
        ({"contexts": ["x"]}, "each of `contexts` needs a `name`"),
        ({"clusters": {"c": {"server": "one:6443"}}}, "`server` is to be a URL"),
        ({"clusters": {"c": {"server": "https://c", "certificate-authority": "none.crt"}}}, "No such file"),
        ({"clusters": {"c": {"server": "https://c", "certificate-authority-data": "é"}}}, "not base64"),
        (
            {
                "clusters": {
                    "c": {
                        "server": "https://c",
                        "insecure-skip-tls-verify": True,
                        "certificate-authority-data": "eA==",
                    }
                }
            },
            "which rules it out",
        ),
        ({"users": {"u": {"client-key-data": "eA=="}}}, "go together"),
        ({"users": {"u": {"auth-provider": {"name": "oidc"}}}}, "auth-provider `oidc`"),
        ({"users": {"u": {"exec": {"apiVersion": "v1alpha1", "command": "a"}}}}, "of version v1alpha1"),
        (
            {"users": {"u": {"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}}},
            "names no command",
        ),
    ],
)
def test_what_is_wrong_with_a_file(write: Write, changed: dict[str, Any], words: str) -> None:
    path = write("a", **{**WHOLE, **changed})
    with pytest.raises(UsageError, match=words) as caught:
        read(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("text", ["a: [", "- a", "text"])
def test_what_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not"):
        read(path)
