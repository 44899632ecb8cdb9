"""The environment variables that a stage sees: few and documented, as in a container."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

PASSED = (
    "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
)  # fmt: skip
"""What a stage gets of our own environment, when it is set."""

PASSED_PREFIXES = ("LC_", "CUDA", "NVIDIA_", "ROCR_", "HIP_")

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "127.0.0.0/8")


def inherited(ours: Mapping[str, str], pass_env: Collection[str] = ()) -> dict[str, str]:
    """The part of our own environment that every stage gets, plus the variables named in `pass_env`."""
    chosen = {
        name: value
        for name, value in ours.items()
        if name in PASSED or name in pass_env or name.startswith(PASSED_PREFIXES)
    }
    chosen.setdefault("LANG", "C.UTF-8")
    chosen["PATH"] = ours.get("PATH", SYSTEM_PATH)
    return chosen


def for_python(python: Path, project: Path) -> dict[str, str]:
    """What makes a process run in an environment, with the project's root first on its path."""
    environment = python.parent.parent
    return {
        "VIRTUAL_ENV": str(environment),
        "PYTHONPATH": str(project),
        "PYTHONUNBUFFERED": "1",
    }


def with_first_on_path(variables: dict[str, str], folder: Path) -> dict[str, str]:
    """The same variables with `folder` first on PATH."""
    return {**variables, "PATH": f"{folder}{os.pathsep}{variables.get('PATH', SYSTEM_PATH)}"}


def without_proxy(variables: dict[str, str], hosts: Collection[str]) -> dict[str, str]:
    """The same variables, with services of this machine never asked for through a proxy."""
    kept = variables.get("NO_PROXY") or variables.get("no_proxy") or ""
    names = ",".join([*filter(None, kept.split(",")), *LOCAL_HOSTS, *sorted(hosts)])
    return {**variables, "NO_PROXY": names, "no_proxy": names}


def artifact_variable(kind: str, name: str) -> str:
    """`BODYWORK_INPUT_MODEL` for input `model`: upper case, other characters become `_`."""
    cleaned = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    return f"BODYWORK_{kind}_{cleaned.upper()}"
