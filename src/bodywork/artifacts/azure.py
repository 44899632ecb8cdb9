"""Finds account, endpoint and credential of an Azure store where Azure's own tools find them.

A connection string (AZURE_STORAGE_CONNECTION_STRING) counts first, then the account with its key or
with a shared access signature, then a principal (AZURE_CLIENT_ID ...), then whoever has logged in
with `az login`. Where there is none of these, the identity of the machine or pod is left to count.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bodywork.artifacts.address import Address
from bodywork.errors import UsageError

CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
ACCOUNT = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
KEY = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY")
SIGNATURE = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
ENDPOINT = ("AZURE_STORAGE_SERVICE_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
CLIENT = ("AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID")
TENANT = ("AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID")
CLIENT_SECRET = ("AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET")
TOKEN_FILE = ("AZURE_FEDERATED_TOKEN_FILE",)
AUTHORITY = ("AZURE_AUTHORITY_HOST", "AZURE_STORAGE_AUTHORITY_HOST")
EMULATOR = {
    "AccountName": "devstoreaccount1",
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}
"""What `UseDevelopmentStorage=true` stands for: no secret, Azure's documentation prints it."""


def settings(address: Address, variables: Mapping[str, str]) -> dict[str, str | bool]:
    """What the client library is to be told, of all that it would else take from its own environment.

    `variables` are an environment, or the content of a secret. Raises UsageError.
    """
    said = _connection(variables.get(CONNECTION, ""))
    endpoint = address.endpoint or said.get("BlobEndpoint") or _first(variables, ENDPOINT)
    account = said.get("AccountName") or _first(variables, ACCOUNT) or _account_of(endpoint)
    if not account:
        raise UsageError(
            f"the store {address} cannot be opened: no storage account is named",
            hint=f"set {ACCOUNT[0]} or {CONNECTION}, or the secret that holds them",
        )
    if not endpoint:
        suffix = said.get("EndpointSuffix", "core.windows.net")
        endpoint = f"{said.get('DefaultEndpointsProtocol', 'https')}://{account}.blob.{suffix}"
    plain: dict[str, str | bool] = {
        "use_emulator": False,
        "use_fabric_endpoint": False,
        "skip_signature": False,
    }
    return {
        "account_name": account,
        "endpoint": endpoint.rstrip("/"),
        **plain,
        **_credential(said, variables),
    }


def _credential(said: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str | bool]:
    if key := said.get("AccountKey"):
        return {"account_key": key, "credential_type": "access_key"}
    if signature := said.get("SharedAccessSignature"):
        return {"sas_key": signature.removeprefix("?"), "credential_type": "sas_token"}
    if key := _first(variables, KEY):
        return {"account_key": key, "credential_type": "access_key"}
    if signature := _first(variables, SIGNATURE):
        return {"sas_key": signature.removeprefix("?"), "credential_type": "sas_token"}
    return _principal(variables)


def _principal(variables: Mapping[str, str]) -> dict[str, str | bool]:
    named = {"client_id": CLIENT, "tenant_id": TENANT, "authority_host": AUTHORITY}
    who = {key: found for key, names in named.items() if (found := _first(variables, names))}
    if "client_id" in who and "tenant_id" in who:
        if secret := _first(variables, CLIENT_SECRET):
            return {**who, "client_secret": secret, "credential_type": "client_secret"}
        if token_file := _first(variables, TOKEN_FILE):
            return {**who, "federated_token_file": token_file, "credential_type": "workload_identity"}
    if _logged_in(variables):
        return {"use_azure_cli": True, "credential_type": "azure_cli"}
    return {**who, "credential_type": "managed_identity"}


def _logged_in(variables: Mapping[str, str]) -> bool:
    """Whether `az` knows somebody; the content of a secret leads to no files."""
    home = variables.get("HOME")
    folder = variables.get("AZURE_CONFIG_DIR") or (f"{home}/.azure" if home else "")
    return bool(folder) and Path(folder, "azureProfile.json").is_file()


def _connection(text: str) -> dict[str, str]:
    """The parts of a connection string. Raises UsageError, which does not repeat it."""
    parts = [part.partition("=") for part in text.strip().split(";") if part.strip()]
    if any(not equals for _, equals, _ in parts):
        raise UsageError(
            f"{CONNECTION} is no connection string",
            hint="it looks like AccountName=...;AccountKey=...;EndpointSuffix=core.windows.net",
        )
    said = {name.strip(): value.strip() for name, _, value in parts}
    return EMULATOR if said.get("UseDevelopmentStorage", "").lower() == "true" else said


def _account_of(endpoint: str | None) -> str | None:
    """An endpoint is https://ACCOUNT.blob.core.windows.net, or http://HOST:PORT/ACCOUNT."""
    parts = urlsplit(endpoint or "")
    path = parts.path.strip("/")
    if path:
        return path.partition("/")[0]
    account, _, rest = (parts.hostname or "").partition(".")
    return account if rest.startswith("blob.") else None


def _first(variables: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((variables[name] for name in names if variables.get(name)), None)
