"""What object stores answer when something is wrong, as sentences.

Stores of different make use different statuses for the same thing, so the code in the answer's
body counts first, then the status, then the kind of the error.
"""

from __future__ import annotations

import re

from bodywork.artifacts.address import Address
from bodywork.errors import BodyworkError, NotFoundError, StageError, UnreachableError, UsageError

CODE = re.compile(r"<Code>(\w+)</Code>")
STATUS = re.compile(r"status code: (\d{3})|status: (\d{3})")
REQUEST = re.compile(r"Error performing \w+ (https?://[^/\s]+)")
WRONG_KEY = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound", "AuthenticationFailed"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "RequestExpired"}
NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
NOBODY_KNOWN = "failed to authenticate the request"
"""Azure's words; the emulator of it gives them another code."""
TOO_OLD = "not valid in the specified time frame"  # what Azure says of a shared access signature
UNSIGNED = ("SAS keys with SAS tokens", "Error signing blob")
AZ = re.compile(r"'az account get-access-token' command failed: ([^\n]*)")
FULL = {"InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"}
IN_THE_WAY = {
    "ObjectParentIsFile",
    "ExistingObjectIsDirectory",
    "XMinioParentIsObject",
    "XMinioObjectExistsAsDirectory",
}
"""What stores say that keep objects as files: there, `a` and `a/b` cannot both be."""
ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
IDENTITY = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS (or GOOGLE_SERVICE_ACCOUNT_KEY)",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "file": "the rights of the folder",
}
SIGNS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS to the key of a service account",
    "az": "AZURE_STORAGE_ACCOUNT_KEY, since a shared access signature cannot make others",
}


class DeniedError(UsageError):
    """The store knows who asks, and does not let them."""


class DamagedError(StageError):
    """What the store gives has not the digest that it was kept under."""


def unopened(error: Exception, address: Address) -> BodyworkError:
    """What is wrong with the settings that a store was to be opened with."""
    said = str(error).partition("\n")[0].partition(" error: ")
    return UsageError(
        f"the store {address} cannot be opened: {said[2] or said[0]}",
        hint=f"set {KEYS[address.scheme]}, or the secret that holds them",
    )


def sentence(error: Exception, address: Address, doing: str, key: str = "") -> BodyworkError:
    """The error that `doing` something ("read", "write" ...) with `key` of a store ended with."""
    if isinstance(error, BodyworkError):
        return error
    text = str(error)
    code = found.group(1) if (found := CODE.search(text)) else ""
    status = next(filter(None, found.groups())) if (found := STATUS.search(text)) else ""
    return (
        _of_room(code, status, address)
        or _of_credential(code, status, text, address, doing)
        or _of_place(error, code, status, text, address, key)
        or _of_connection(status, text, address)
    )


def _of_room(code: str, status: str, address: Address) -> BodyworkError | None:
    if code not in FULL and status != "507":
        return None
    return UsageError(
        f"the store {address} is full ({code or status})",
        hint="make room in it (`bodywork prune` deletes what nothing needs any more), or have it enlarged",
    )


def _of_credential(code: str, status: str, text: str, address: Address, doing: str) -> BodyworkError | None:
    set_them = f"set {KEYS[address.scheme]}, or the secret that holds them"
    if any(host in text for host in IDENTITY):
        return UsageError(f"no credential for the store {address} was found", hint=set_them)
    if code in EXPIRED or TOO_OLD in text:
        return UnreachableError(
            f"the credential for the store {address} has expired",
            hint="log in again, then repeat the command",
        )
    if any(words in text for words in UNSIGNED):
        return UsageError(
            f"addresses in the store {address} cannot be signed with this credential",
            hint=f"set {SIGNS[address.scheme]}; or the secret that holds it",
        )
    if found := AZ.search(text):
        return UnreachableError(
            f"`az` gave no credential for the store {address}: {found.group(1)[:200]}",
            hint="log in again: az login",
        )
    if code in WRONG_KEY or status == "401" or NOBODY_KNOWN in text:
        code = code or status
        return UsageError(f"the store {address} does not accept the credential ({code})", hint=set_them)
    if code == "RequestTimeTooSkewed":
        return UsageError(
            f"the store {address} refuses requests because this machine's clock is wrong",
            hint="set the clock",
        )
    if status == "403":
        return DeniedError(
            f"the credential may not {doing} in the store {address} ({code or status})",
            hint="its owner needs to be granted reading and writing there",
        )
    return None


def _of_place(
    error: Exception, code: str, status: str, text: str, address: Address, key: str
) -> BodyworkError | None:
    if code in NO_BUCKET:
        return NotFoundError(
            f"the store {address} has no bucket {address.bucket}",
            hint="make it, or correct `store:` in bodywork.yaml",
        )
    if code in IN_THE_WAY:
        return UsageError(
            f"{key} cannot be written in the store {address}: another object is in the way ({code})",
            hint="delete that object, or give `store:` of bodywork.yaml another prefix",
        )
    if code in ELSEWHERE or "Received redirect without LOCATION" in text:
        return UsageError(
            f"bucket {address.bucket} is in another region than {address.region or 'the one that is set'}",
            hint=f"set AWS_REGION, or write {address.scheme}://{address.bucket}/...?region=REGION",
        )
    if isinstance(error, FileNotFoundError) or status == "404":
        return NotFoundError(
            f"{key or address.bucket} is not in the store {address}",
            hint="run the stage that makes it again: bodywork deploy" if key else None,
        )
    return None


def _of_connection(status: str, text: str, address: Address) -> BodyworkError:
    asked = found.group(1) if (found := REQUEST.search(text)) else address.endpoint or str(address)
    said = f"it answered {status}" if status else _last_cause(text)
    return UnreachableError(
        f"the store {address} cannot be reached at {asked}: {said}",
        hint="check the address and the network, then repeat the command",
    )


def _last_cause(text: str) -> str:
    """The innermost cause that the client's report names, in its words."""
    first = text.partition("\n\nDebug source")[0].strip()
    deepest = re.findall(r'message: "([^"]+)"|error: "([^"]+)"', text)
    named = [word for pair in deepest for word in pair if word]
    return named[-1] if named else first.rpartition(": ")[2][:200]
