"""Opens the client library's store for an address: settings and credential are ours to say, all of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bodywork.artifacts import aws
from bodywork.artifacts.address import Address
from bodywork.artifacts.failure import unopened
from bodywork.errors import MachineError

if TYPE_CHECKING:
    from obstore.store import BackoffConfig, ClientConfig, ObjectStore, RetryConfig

GOOGLE = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)
AZURE = (
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_TENANT_ID",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
)


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

    config: dict[str, Any] = _said(variables, GOOGLE)
    return GCSStore(address.bucket, config=cast("Any", config), retry_config=retries)


def _azure(address: Address, variables: Mapping[str, str], retries: RetryConfig) -> ObjectStore:
    from obstore.store import AzureStore

    config: dict[str, Any] = _said(variables, AZURE)
    if address.endpoint:
        config["azure_storage_endpoint"] = address.endpoint
    options = _options(config.get("azure_storage_endpoint", "https://"))
    return AzureStore(
        address.bucket, config=cast("Any", config), client_options=options, retry_config=retries
    )


def _said(variables: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name.lower(): variables[name] for name in names if variables.get(name)}


def _options(endpoint: str) -> ClientConfig:
    return {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": "5 seconds",
        "read_timeout": "60 seconds",
        "timeout": "24 hours",  # of one request: a part, or all of an object that is read
    }
