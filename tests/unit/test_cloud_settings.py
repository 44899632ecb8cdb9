"""Account, endpoint and credential are found where Azure's and Google's own tools find them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bodywork.artifacts import azure, google
from bodywork.artifacts.address import Address
from bodywork.artifacts.failure import sentence
from bodywork.errors import UnreachableError, UsageError

AZURE = Address.parse("az://models/iris")
GOOGLE = Address.parse("gs://models/iris")
ACCOUNT = {"AZURE_STORAGE_ACCOUNT": "team"}
PRINCIPAL = {"AZURE_CLIENT_ID": "id", "AZURE_TENANT_ID": "tenant"}


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({"AZURE_STORAGE_ACCOUNT_NAME": "team"}, "https://team.blob.core.windows.net"),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=team;EndpointSuffix=core.chinacloudapi.cn"},
            "https://team.blob.core.chinacloudapi.cn",
        ),
        (
            {
                "AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=https://team.blob.local/;SharedAccessSignature=?s"
            },
            "https://team.blob.local",
        ),
        ({**ACCOUNT, "AZURE_STORAGE_SERVICE_ENDPOINT": "http://10.0.0.1/team"}, "http://10.0.0.1/team"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}, azure.EMULATOR["BlobEndpoint"]),
    ],
)
def test_azures_account_and_endpoint(variables: dict[str, str], endpoint: str) -> None:
    found = azure.settings(AZURE, variables)
    assert found["endpoint"] == endpoint
    assert found["account_name"] in ("team", azure.EMULATOR["AccountName"])


def test_the_endpoint_of_an_address_counts_first_and_names_the_account() -> None:
    address = Address.parse("az://models?endpoint=https://team.blob.core.usgovcloudapi.net")
    found = azure.settings(address, {"AZURE_STORAGE_ENDPOINT": "https://other"})
    assert (found["endpoint"], found["account_name"]) == (address.endpoint, "team")


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=a2V5=="}, "access_key"),
        ({"AZURE_STORAGE_KEY": "key", "AZURE_STORAGE_SAS_TOKEN": "sig"}, "access_key"),
        ({"AZURE_STORAGE_SAS_TOKEN": "?sig", **PRINCIPAL}, "sas_token"),
        ({**PRINCIPAL, "AZURE_CLIENT_SECRET": "s"}, "client_secret"),
        ({**PRINCIPAL, "AZURE_FEDERATED_TOKEN_FILE": "/token"}, "workload_identity"),
        ({"AZURE_CLIENT_ID": "id"}, "managed_identity"),
        ({}, "managed_identity"),
    ],
)
def test_azures_credential(variables: dict[str, str], kind: str) -> None:
    found = azure.settings(AZURE, {**ACCOUNT, **variables})
    assert found["credential_type"] == kind
    assert found.get("account_key", "a2V5==") in ("a2V5==", "key")
    assert found.get("sas_key", "sig") == "sig"
    assert found.get("client_id", "id") == "id"


def test_who_has_logged_in_with_az_counts_but_not_for_a_secret(tmp_path: Path) -> None:
    (tmp_path / ".azure").mkdir()
    (tmp_path / ".azure" / "azureProfile.json").write_text("{}")
    assert azure.settings(AZURE, {**ACCOUNT, "HOME": str(tmp_path)})["credential_type"] == "azure_cli"
    assert azure.settings(AZURE, ACCOUNT)["credential_type"] == "managed_identity"


def test_what_is_no_connection_string_is_not_repeated() -> None:
    with pytest.raises(UsageError, match="is no connection string") as raised:
        azure.settings(AZURE, {"AZURE_STORAGE_CONNECTION_STRING": "hunter22"})
    assert "hunter22" not in f"{raised.value} {raised.value.hint}"


def test_googles_endpoint_and_credential(tmp_path: Path) -> None:
    assert google.find(GOOGLE, {}).settings["base_url"] == "https://storage.googleapis.com"
    at = Address.parse("gs://models?endpoint=https://storage.example.org/")
    assert google.find(at, {"GOOGLE_BASE_URL": "https://other"}).settings["base_url"] == (
        "https://storage.example.org"
    )
    emulated = google.find(GOOGLE, {"STORAGE_EMULATOR_HOST": "localhost:4443"})
    assert emulated.settings["base_url"] == "http://localhost:4443" and emulated.credential is not None
    login = tmp_path / "application_default_credentials.json"
    login.write_text("{}")
    logged_in = google.find(GOOGLE, {"CLOUDSDK_CONFIG": str(tmp_path)})
    assert logged_in.settings["application_credentials"] == str(login)
    said = {"GOOGLE_SERVICE_ACCOUNT_KEY": "{}", "GOOGLE_APPLICATION_CREDENTIALS": "/key.json"}
    assert google.find(GOOGLE, said).settings["service_account_key"] == "{}"


def test_a_signature_of_azures_that_has_expired_is_said_so() -> None:
    """In the words of Azure; its emulator does not tell this from a wrong one."""
    said = (
        "Server returned non-2xx status code: 403 Forbidden: <Error><Code>AuthenticationFailed</Code>"
        "<Message>Server failed to authenticate the request.</Message><AuthenticationErrorDetail>"
        "Signature not valid in the specified time frame</AuthenticationErrorDetail></Error>"
    )
    told = sentence(RuntimeError(said), AZURE, "read", "model")
    assert isinstance(told, UnreachableError) and "has expired" in told.message
