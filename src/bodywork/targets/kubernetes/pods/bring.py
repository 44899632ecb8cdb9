"""Runs in the init container `bring` of a service: gets its inputs out of the store.

What it is asked is in BODYWORK_BRING, the credential in the variables that the clouds' own tools
read. While the store is away it is asked again, without end: a pod that restarts at night has
nobody who could start it anew, and its pod says what it waits for.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from bodywork.errors import BodyworkError, UnreachableError

PAUSE = 5.0


def main() -> int:
    try:
        bring(os.environ)
    except BodyworkError as error:
        say(f"{error.message}; {error.hint}" if error.hint else error.message)
        return 1
    return 0


def bring(variables: Mapping[str, str]) -> None:
    """Get all inputs. Raises StageError, UsageError."""
    asked: dict[str, Any] = json.loads(variables["BODYWORK_BRING"])
    store = ObjectStore(Address.parse(asked["store"]), variables)
    for wanted in asked["inputs"]:
        began = time.monotonic()
        _get(store, wanted["key"], wanted["digest"], Path(wanted["into"]), asked.get("piece"))
        say(f"brought {wanted['into']} in {time.monotonic() - began:.1f} s")


def _get(store: ObjectStore, key: str, digest: str, into: Path, piece: int | None) -> None:
    shutil.rmtree(into.parent, ignore_errors=True)  # of an attempt that was cut off
    while True:
        try:
            return store.get(key, digest, into, piece=piece)
        except UnreachableError as error:
            say(f"waiting for the store: {error.message}")
            time.sleep(PAUSE)


def say(text: str) -> None:
    sys.stdout.write(f"bodywork: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
