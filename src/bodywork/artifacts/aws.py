"""Finds region, endpoint and credential of an S3 store where Amazon's own tools find them.

First the environment (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL ...), then the profile
(AWS_PROFILE, else `default`) in ~/.aws/credentials and ~/.aws/config: keys, or a
`credential_process`, or the `aws` program itself for whatever only it can do (single sign-on,
assumed roles). Where there is none of these, the identity of the machine or pod is left to count.
"""

from __future__ import annotations

import configparser
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bodywork.errors import UnreachableError, UsageError
from bodywork.process import CommandError, run

if TYPE_CHECKING:
    from obstore.store import S3Credential

PATIENCE = 30.0
ONLY_AWS_CAN = ("sso_session", "sso_start_url", "role_arn", "login_session")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is known of how to talk to S3; `credential` None: as machine or pod."""

    region: str | None
    endpoint: str | None
    credential: Callable[[], S3Credential] | None


def find(variables: Mapping[str, str]) -> Found:
    """What `variables` (an environment, or the content of a secret) and the profile they lead to say.

    Raises UsageError for a profile that is asked for and not there.
    """
    profile = _profile(variables)
    return Found(
        region=_first(variables, "AWS_REGION", "AWS_DEFAULT_REGION") or profile.get("region"),
        endpoint=_first(variables, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") or profile.get("endpoint_url"),
        credential=_credential(variables, profile),
    )


def _first(variables: Mapping[str, str], *names: str) -> str | None:
    return next((variables[name] for name in names if variables.get(name)), None)


def _profile(variables: Mapping[str, str]) -> dict[str, str]:
    """The settings of the profile that counts, of both files."""
    home = variables.get("HOME")
    if not home:  # the content of a secret: it leads to no files
        return {}
    name = _first(variables, "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
    config = _file(variables.get("AWS_CONFIG_FILE") or f"{home}/.aws/config")
    keys = _file(variables.get("AWS_SHARED_CREDENTIALS_FILE") or f"{home}/.aws/credentials")
    sections = [
        config.get(f"profile {name or 'default'}"),
        config.get(name or "default"),
        keys.get(name or "default"),
    ]
    found = [section for section in sections if section is not None]
    if name and not found:
        raise UsageError(
            f"there is no AWS profile {name}, which AWS_PROFILE asks for",
            hint="see those that are there: aws configure list-profiles",
        )
    return {"name": name or "default", **{key: value for section in found for key, value in section.items()}}


def _file(path: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(Path(path).expanduser())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _credential(
    variables: Mapping[str, str], profile: Mapping[str, str]
) -> Callable[[], S3Credential] | None:
    for keys in ({key.lower(): value for key, value in variables.items() if key.startswith("AWS_")}, profile):
        if keys.get("aws_access_key_id") and keys.get("aws_secret_access_key"):
            return partial(_fixed, keys)
    if command := profile.get("credential_process"):
        return partial(_printed, shlex.split(command), variables)
    if not variables.get("AWS_WEB_IDENTITY_TOKEN_FILE") and any(key in profile for key in ONLY_AWS_CAN):
        export = [
            "aws",
            "configure",
            "export-credentials",
            "--profile",
            profile["name"],
            "--format",
            "process",
        ]
        return partial(_printed, export, variables)
    return None


def _fixed(keys: Mapping[str, str]) -> S3Credential:
    return {
        "access_key_id": keys["aws_access_key_id"],
        "secret_access_key": keys["aws_secret_access_key"],
        "token": keys.get("aws_session_token") or None,
        "expires_at": None,
    }


def _printed(command: list[str], variables: Mapping[str, str]) -> S3Credential:
    """The credential that a program prints, in the form that Amazon's tools have agreed on."""
    try:
        printed: dict[str, Any] = json.loads(run(command, env=variables, timeout=PATIENCE).stdout)
        expires = printed.get("Expiration")
        return {
            "access_key_id": printed["AccessKeyId"],
            "secret_access_key": printed["SecretAccessKey"],
            "token": printed.get("SessionToken"),
            "expires_at": datetime.fromisoformat(expires) if expires else None,
        }
    except FileNotFoundError as error:
        raise UsageError(
            f"the AWS profile needs the program {command[0]}, which is not there",
            hint="install it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ) from error
    except CommandError as error:
        raise UnreachableError(
            f"`{command[0]}` gave no credential: {_last_line(error.output)}",
            hint="log in again: aws sso login" if command[0] == "aws" else None,
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"what `{command[0]}` printed is no credential") from error


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it printed nothing"])[-1]
