"""Addresses of stores: what is read, how it is written again, and what is refused with which words."""

import base64
import sys

import pytest

from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from bodywork.errors import MachineError, UsageError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://models", Address(scheme="s3", bucket="models")),
        ("s3://models/iris/prod", Address(scheme="s3", bucket="models", prefix="iris/prod")),
        ("gs://my.models/iris", Address(scheme="gs", bucket="my.models", prefix="iris")),
        ("az://container/iris", Address(scheme="az", bucket="container", prefix="iris")),
        ("file:///srv/artifacts", Address(scheme="file", prefix="/srv/artifacts")),
        (
            "s3://models/iris?endpoint=http://10.0.0.1:9000&region=eu-1",
            Address(
                scheme="s3", bucket="models", prefix="iris", endpoint="http://10.0.0.1:9000", region="eu-1"
            ),
        ),
    ],
)
def test_it_is_read_and_written_again(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


def test_forms_that_mean_the_same() -> None:
    assert Address.parse("s3://models/iris/") == Address.parse("s3://models//iris")
    assert Address.parse("/srv/artifacts") == Address.parse("file:///srv/artifacts")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://models/iris", "ftp:// is no kind of store"),
        ("s3:///iris", "nothing is no name of a bucket"),
        ("s3://_models/iris", "_models is no name of a bucket"),
        ("s3://models/../other", "a prefix has no . and .."),
        ("s3://models?profile=x", "no option profile"),
        ("s3://models?endpoint=10.0.0.1", "begins with http:// or https://"),
        ("artifacts", "the path of a folder begins with /"),
    ],
)
def test_what_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        Address.parse(text)
    assert words in str(raised.value)
    assert raised.value.hint or "endpoint" in text


def test_a_credential_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as raised:
        Address.parse("s3://AKIAKEY:hunter22@models/iris")
    assert "hunter22" not in f"{raised.value} {raised.value.hint}"


def test_keys_are_under_the_prefix() -> None:
    assert Address.parse("s3://models/iris").key("run", "model") == "iris/run/model"
    assert Address.parse("s3://models").key("run", "model") == "run/model"
    assert Address.parse("file:///srv").key("run", "model") == "run/model"


@pytest.mark.parametrize(
    ("text", "variables", "words"),
    [
        ("az://models/iris", {}, "cannot be opened: no storage account is named"),
        ("gs://models/iris", {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere"}, "Unable to open .* /nowhere"),
    ],
)
def test_settings_that_no_store_can_be_opened_with_are_said(
    text: str, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        ObjectStore(Address.parse(text), variables)
    assert "AZURE_" in str(raised.value.hint) or "GOOGLE_" in str(raised.value.hint)


def test_each_cloud_signs_with_its_own_credential() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    azure = {"AZURE_STORAGE_ACCOUNT_NAME": "team", "AZURE_STORAGE_ACCOUNT_KEY": key}
    signed = ObjectStore(Address.parse("az://models/iris"), azure).sign("PUT", "run/model")
    assert signed.startswith("https://team.blob.core.windows.net/models/iris/run/model?")
    amazon = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "eu-west-1"}
    signed = ObjectStore(Address.parse("s3://models/iris"), amazon).sign("PUT", "run/model")
    assert signed.startswith("https://s3.eu-west-1.amazonaws.com/models/iris/run/model?")
    assert "X-Amz-Expires=604800" in signed


def test_a_missing_package_is_said_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MachineError, match="need the package obstore") as raised:
        ObjectStore(Address.parse("s3://models/iris"), {})
    assert raised.value.hint == "install it: pip install 'bodywork[stores]'"
