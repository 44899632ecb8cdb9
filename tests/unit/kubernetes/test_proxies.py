"""Which proxy leads to a server: the rules of kubectl, which are those of Go."""

from __future__ import annotations

import pytest

from bodywork.targets.kubernetes.client.proxies import proxy_for


@pytest.mark.parametrize(
    ("url", "no_proxy", "through"),
    [
        ("https://api.example.com", "", True),
        ("https://localhost:6443", "", False),
        ("https://127.0.0.1:6443", "", False),
        ("https://[::1]:6443", "", False),
        ("https://10.0.0.1", "10.0.0.0/8", False),
        ("https://11.0.0.1", "10.0.0.0/8", True),
        ("https://10.0.0.1", "10.0.0.1", False),
        ("https://[fd00::1]", "fd00::/8", False),
        ("https://api.example.com", "example.com", False),
        ("https://example.com", "example.com", False),
        ("https://example.com", ".example.com", True),
        ("https://api.example.com", ".example.com", False),
        ("https://api.example.com", "*.example.com", False),
        ("https://notexample.com", "example.com", True),
        ("https://API.example.com", "other, EXAMPLE.com ", False),
        ("https://example.com:6443", "example.com:6443", False),
        ("https://example.com", "example.com:6443", True),
        ("https://example.com", "*", False),
        ("https://example.com", ",,not/a/block", True),
    ],
)
def test_what_goes_directly(url: str, no_proxy: str, through: bool) -> None:
    found = proxy_for(url, {"HTTPS_PROXY": "http://proxy:1", "no_proxy": no_proxy})
    assert found == ("http://proxy:1" if through else None)


def test_each_scheme_has_its_proxy() -> None:
    environment = {"HTTP_PROXY": "plain:1", "https_proxy": "https://secure:2"}
    assert proxy_for("http://a", environment) == "http://plain:1"
    assert proxy_for("https://a", environment) == "https://secure:2"
    assert proxy_for("https://a", {}) is None
