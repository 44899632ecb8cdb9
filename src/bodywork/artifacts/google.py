"""Finds endpoint and credential of a Google store where Google's own tools find them.

First GOOGLE_APPLICATION_CREDENTIALS and its like, which lead to the key of a service account or
hold it, then who has logged in with `gcloud auth application-default login`. Where there is neither,
the identity of the machine or pod is left to count. STORAGE_EMULATOR_HOST is an endpoint that asks
for no credential.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bodywork.artifacts.address import Address

if TYPE_CHECKING:
    from obstore.store import GCSCredential

GOOGLES = "https://storage.googleapis.com"
CREDENTIALS = {
    "GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key",
    "GOOGLE_SERVICE_ACCOUNT": "service_account",
    "GOOGLE_SERVICE_ACCOUNT_PATH": "service_account",
    "GOOGLE_APPLICATION_CREDENTIALS": "application_credentials",
}
"""Which setting of the client library is what a variable says; the first one that is set counts."""
LOGIN = "application_default_credentials.json"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What to tell the client library; `credential` None: it has its own, out of the settings."""

    settings: dict[str, str | bool]
    credential: Callable[[], GCSCredential] | None = None


def find(address: Address, variables: Mapping[str, str]) -> Found:
    """What `variables` (an environment, or the content of a secret) say."""
    emulator = variables.get("STORAGE_EMULATOR_HOST", "")
    if emulator and "://" not in emulator:
        emulator = f"http://{emulator}"
    endpoint = address.endpoint or emulator or variables.get("GOOGLE_BASE_URL") or GOOGLES
    settings: dict[str, str | bool] = {"base_url": endpoint.rstrip("/"), "skip_signature": False}
    credential = _credential(variables)
    if not credential and emulator:
        return Found(settings=settings, credential=_nobody)
    return Found(settings={**settings, **credential})


def _credential(variables: Mapping[str, str]) -> dict[str, str]:
    for name, setting in CREDENTIALS.items():
        if said := variables.get(name):
            return {setting: said}
    home = variables.get("HOME")
    folder = variables.get("CLOUDSDK_CONFIG") or (f"{home}/.config/gcloud" if home else "")
    path = Path(folder, LOGIN)
    return {"application_credentials": str(path)} if folder and path.is_file() else {}


def _nobody() -> GCSCredential:
    return {"token": "nobody", "expires_at": None}
