"""Opens the client library's store for an address: settings and credential are ours to say, all of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bodywork.artifacts import aws, azure, google
from bodywork.artifacts.address import Address
from bodywork.artifacts.failure import unopened
from bodywork.errors import MachineError

if TYPE_CHECKING:
    from obstore.store import BackoffConfig, ClientConfig, ObjectStore, RetryConfig

ENDLESS = 1_000_000
"""Retries: it is time that counts."""
PAUSES: BackoffConfig = {
    "init_backoff": timedelta(seconds=0.2),
    "max_backoff": timedelta(seconds=5),
    "base": 3,  # each is a random part of the one before times this: with 2 they would not grow
}


def require() -> None:
    """Raises MachineError where the client library is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise MachineError(
            "object stores need the package obstore, which is not installed",
            hint="install it: pip install 'bodywork[stores]'",
        ) from error


def client(address: Address, variables: Mapping[str, str], patience: float) -> ObjectStore:
    """The store at `address`, with the credential that `variables` lead to.

    `patience` is in seconds. Raises UsageError, MachineError.
    """
    require()
    retries: RetryConfig = {
        "max_retries": ENDLESS,
        "retry_timeout": timedelta(seconds=patience),
        "backoff": PAUSES,
    }
    from obstore.exceptions import BaseError

    kinds = {"s3": _s3, "gs": _google, "az": _azure, "file": _folder}
    try:
        return kinds[address.scheme](address, variables, retries)
    except (BaseError, ValueError) as error:
        raise unopened(error, address) from error


def _folder(address: Address, variables: Mapping[str, str], retries: RetryConfig) -> ObjectStore:
    from obstore.store import LocalStore

    return LocalStore(Path(address.prefix), mkdir=True)


def _s3(address: Address, variables: Mapping[str, str], retries: RetryConfig) -> ObjectStore:
    from obstore.store import S3Store

    found = aws.find(variables)
    region = address.region or found.region or "us-east-1"
    # Always said, since the library would otherwise take what its own process' environment says.
    endpoint = address.endpoint or found.endpoint or f"https://s3.{region}.{_domain(region)}"
    config: dict[str, Any] = {"endpoint": endpoint, "region": region, "virtual_hosted_style_request": False}
    if found.credential is None:
        identity = {"role_arn": "AWS_ROLE_ARN", "web_identity_token_file": "AWS_WEB_IDENTITY_TOKEN_FILE"}
        config |= {key: variables[name] for key, name in identity.items() if variables.get(name)}
    return S3Store(
        address.bucket,
        config=cast("Any", config),
        client_options=_options(endpoint),
        retry_config=retries,
        credential_provider=found.credential,
    )


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _google(address: Address, variables: Mapping[str, str], retries: RetryConfig) -> ObjectStore:
    from obstore.store import GCSStore

    found = google.find(address, variables)
    return GCSStore(
        address.bucket,
        config=cast("Any", found.settings),
        client_options=_options(str(found.settings["base_url"])),
        retry_config=retries,
        credential_provider=found.credential,
    )


def _azure(address: Address, variables: Mapping[str, str], retries: RetryConfig) -> ObjectStore:
    from obstore.store import AzureStore

    settings = azure.settings(address, variables)
    return AzureStore(
        address.bucket,
        config=cast("Any", settings),
        client_options=_options(str(settings["endpoint"])),
        retry_config=retries,
    )


def _options(endpoint: str) -> ClientConfig:
    return {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": "5 seconds",
        "read_timeout": "60 seconds",
        "timeout": "24 hours",  # of one request: a part, or all of an object that is read
    }
