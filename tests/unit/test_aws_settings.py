"""Region, endpoint and credential are found where Amazon's own tools find them."""

import json
import sys
from pathlib import Path

import pytest

from bodywork.artifacts import aws
from bodywork.errors import UnreachableError, UsageError

CONFIG = """
[default]
region = eu-west-1
[profile team]
region = eu-west-2
endpoint_url = https://minio.example.org
[profile sso]
sso_session = team
"""
CREDENTIALS = """
[default]
aws_access_key_id = default-id
aws_secret_access_key = default-key
[team]
aws_access_key_id = team-id
aws_secret_access_key = team-key
aws_session_token = team-token
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    return {"HOME": str(tmp_path), "PATH": ""}


def key_of(variables: dict[str, str]) -> tuple[str, str | None]:
    credential = aws.find(variables).credential
    assert credential is not None
    found = credential()
    return found["access_key_id"], found.get("token")


def test_the_environment_comes_first(home: dict[str, str]) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "env-id", "AWS_SECRET_ACCESS_KEY": "env-key", "AWS_REGION": "us-west-2"}
    found = aws.find({**home, **keys, "AWS_ENDPOINT_URL_S3": "https://s3", "AWS_ENDPOINT_URL": "https://all"})
    assert (found.region, found.endpoint) == ("us-west-2", "https://s3")
    assert key_of({**home, **keys}) == ("env-id", None)


def test_then_the_profile(home: dict[str, str]) -> None:
    assert aws.find(home).region == "eu-west-1"
    assert key_of(home) == ("default-id", None)
    team = {**home, "AWS_PROFILE": "team"}
    assert (aws.find(team).region, aws.find(team).endpoint) == ("eu-west-2", "https://minio.example.org")
    assert key_of(team) == ("team-id", "team-token")


def test_a_profile_that_is_not_there_is_said(home: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no AWS profile prod, which AWS_PROFILE asks for"):
        aws.find({**home, "AWS_PROFILE": "prod"})


def test_without_any_the_machine_or_pod_has_an_identity(tmp_path: Path) -> None:
    assert aws.find({"HOME": str(tmp_path)}).credential is None
    assert aws.find({}).credential is None


def test_the_content_of_a_secret_leads_to_no_profile() -> None:
    found = aws.find({"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"})
    assert (found.region, found.endpoint) == (None, None)


def test_a_program_may_give_the_credential(home: dict[str, str], tmp_path: Path) -> None:
    printed = {
        "Version": 1,
        "AccessKeyId": "made-id",
        "SecretAccessKey": "made-key",
        "SessionToken": "made-token",
        "Expiration": "2030-01-01T00:00:00Z",
    }
    program = tmp_path / "give.py"
    program.write_text(f"print({json.dumps(json.dumps(printed))})")
    (tmp_path / ".aws" / "credentials").write_text(
        f"[default]\ncredential_process = {sys.executable} {program}\n"
    )
    credential = aws.find(home).credential
    assert credential is not None
    expires = credential()["expires_at"]
    assert expires is not None and expires.year == 2030
    program.write_text("raise SystemExit('the session has ended')")
    with pytest.raises(UnreachableError, match="gave no credential: the session has ended"):
        credential()
    program.write_text("print('hello')")
    with pytest.raises(UsageError, match="is no credential"):
        credential()


def test_single_sign_on_is_left_to_the_aws_program(home: dict[str, str]) -> None:
    credential = aws.find({**home, "AWS_PROFILE": "sso"}).credential
    assert credential is not None
    with pytest.raises(UsageError, match="needs the program aws, which is not there"):
        credential()
