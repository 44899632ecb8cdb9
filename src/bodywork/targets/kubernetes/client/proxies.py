"""Which proxy leads to a server, by HTTPS_PROXY and NO_PROXY as kubectl understands them.

The rules are those of Go's net/http: names match with all below them, addresses also by CIDR, and what
is on this machine is never asked for through a proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy's URL, or None: directly."""
    parts = urlsplit(url)
    proxy = _variable(environment, f"{parts.scheme}_proxy")
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    if not proxy or _here(host) or _excepted(host, port, _variable(environment, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.upper()) or environment.get(name) or ""


def _here(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _excepted(host: str, port: int, no_proxy: str) -> bool:
    return any(_matches(entry.strip().lower(), host.lower(), port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    if not entry or entry == "*":
        return entry == "*"
    address = _address(host)
    if "/" in entry:
        return address is not None and _within(address, entry)
    name, _, number = entry.rpartition(":")
    if name and number.isdigit() and (name.count(":") == 0 or name.startswith("[")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*")
    if address is not None:
        return _address(entry) == address
    return host.endswith(entry) if entry.startswith(".") else host == entry or host.endswith(f".{entry}")


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, block: str) -> bool:
    try:
        return address in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
