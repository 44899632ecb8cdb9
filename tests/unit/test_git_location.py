"""Addresses of repositories: what is taken, what is refused, what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodywork.errors import UsageError
from bodywork.git.location import beside, credential_variables, parse, shown


@pytest.mark.parametrize(
    ("text", "name", "scheme", "host"),
    [
        ("https://example.org/a/b.git", "https://example.org/a/b.git", "https", "example.org"),
        ("HTTPS://Example.ORG/a/b", "https://example.org/a/b", "https", "example.org"),
        ("https://example.org:443/a", "https://example.org/a", "https", "example.org"),
        ("https://example.org:8443/a", "https://example.org:8443/a", "https", "example.org"),
        ("https://me:secret@example.org/a", "https://example.org/a", "https", "example.org"),
        ("https://token@example.org/a", "https://example.org/a", "https", "example.org"),
        ("ssh://git@example.org:2222/a", "ssh://git@example.org:2222/a", "ssh", "example.org"),
        ("ssh://git:secret@example.org/a", "ssh://git@example.org/a", "ssh", "example.org"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git", "ssh", "example.org"),
        ("example.org:a/b.git", "example.org:a/b.git", "ssh", "example.org"),
        ("https://[::1]:8000/a", "https://[::1]:8000/a", "https", "::1"),
        ("git://example.org/a", "git://example.org/a", "git", "example.org"),
        ("file:///srv/a b.git", "file:///srv/a b.git", "file", ""),
        ("/srv/a:b/c", "/srv/a:b/c", "path", ""),
    ],
)
def test_forms(text: str, name: str, scheme: str, host: str) -> None:
    found = parse(text)
    assert (found.name, found.scheme, found.host) == (name, scheme, host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ext::sh -c 'touch x'",
        "fd::17",
        "https::http://x",
        "ftp://example.org/a",
        "svn+ssh://example.org/a",
        "https:///a",
        "ssh://-oProxyCommand=x/a",
        "ssh://-x@example.org/a",
        "-x@example.org:a",
        "https://example.org:port/a",
        "https://example.org/a\nhost=evil",
        "file://other/a",
        "me:secret@example.org:a",
        "https://me:secret/secret@example.org/a",
    ],
)
def test_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.hint
    assert "secret" not in caught.value.message


def test_a_folder_wins_over_an_ssh_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd:name").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse("odd:name").name == str(tmp_path / "odd:name")


def test_spellings_of_one_place_share_a_mirror() -> None:
    names = ("https://example.org/a", "https://me:x@EXAMPLE.org:443/a/")
    assert len({parse(name).key for name in names}) == 1


def test_a_password_goes_by_the_environment_and_replaces_the_users_helpers() -> None:
    found = parse("https://me:p%40ss%2Fw@example.org:8443/a")
    variables = credential_variables(found, {"GIT_CONFIG_COUNT": "1"})
    assert variables["BODYWORK_GIT_PASSWORD"] == "p@ss/w"
    assert variables["GIT_CONFIG_COUNT"] == "4"
    keys = [variables[f"GIT_CONFIG_KEY_{number}"] for number in (1, 2, 3)]
    host = "credential.https://example.org:8443"
    assert keys == [f"{host}.username", "credential.helper", f"{host}.helper"]
    assert "p@ss/w" not in repr(found)


def test_without_credentials_nothing_is_set() -> None:
    assert credential_variables(parse("https://example.org/a"), {}) == {}


@given(
    user=st.text("abcXYZ0189-_.~", max_size=8),
    password=st.text("abcXYZ0189-_.~:!$&*+,;=@", min_size=3).map(lambda text: f"S3cr{text}"),
)
def test_no_password_is_ever_shown(user: str, password: str) -> None:
    url = f"https://{user}:{password}@example.org/a/b.git"
    assert "S3cr" not in shown(f"fatal: unable to access '{url}': no")
    assert "S3cr" not in parse(url).name + repr(parse(url))


@pytest.mark.parametrize(
    ("base", "relative", "found"),
    [
        ("https://example.org/team/app.git", "../lib.git", "https://example.org/team/lib.git"),
        ("https://example.org/team/app", "../../other/lib", "https://example.org/other/lib"),
        ("git@example.org:team/app.git", "../lib.git", "git@example.org:team/lib.git"),
        ("git@example.org:app.git", "../lib.git", "git@example.org:lib.git"),
        ("/srv/app", "./lib", "/srv/app/lib"),
        ("/srv/app/", "../lib", "/srv/lib"),
    ],
)
def test_relative_addresses_of_submodules(base: str, relative: str, found: str) -> None:
    assert beside(base, relative) == found
