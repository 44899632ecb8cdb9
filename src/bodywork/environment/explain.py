"""Turn what uv says when it fails into one of our errors: its reason kept, the next step added."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bodywork.environment.exclusive import full_disk
from bodywork.errors import BodyworkError, ResolutionError, UnreachableError
from bodywork.stage.installing import (
    FULL,
    GIT,
    MISMATCH,
    UNBUILT,
    UNREACHABLE,
    WITHOUT_NETWORK,
    build_log,
    reason,
    without_secrets,
)

OLDEST_MINOR = 8

DENIED = re.compile(r"40[13] (Unauthorized|Forbidden)")
PUBLISHED = re.compile(
    r"`(?P<name>[^`]+)` was filtered by `exclude-newer`.*?"
    r"version, v(?P<version>\S+), was published at (?P<day>\d{4}-\d\d-\d\d)"
)
FILTERED = re.compile(r"`(?P<name>[^`]+)` was filtered by `exclude-newer`")
UNKNOWN = re.compile(r"(?P<name>[A-Za-z0-9._-]+) was not found in the package registry")
TAGS = re.compile(r"cp3(\d+)")
NEEDS_PYTHON = re.compile(r"current Python version \([\d.]+\) does not satisfy Python(?P<wanted>[^ ]+)")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What was tried: `what` was asked for, for which Python, as of when, with what folder written."""

    what: str
    python: str
    as_of: datetime | None
    folder: Path

    @property
    def when(self) -> str:
        return f" as of {self.as_of:%Y-%m-%d}" if self.as_of else ""

    @property
    def short(self) -> str:
        return self.what if len(self.what) <= 160 else self.what[:157] + "..."


def explain(output: str, attempt: Attempt) -> BodyworkError:
    """The error for what uv printed; the first cause that fits counts."""
    if any(sign in output for sign in FULL):
        return full_disk(attempt.folder)
    if any(sign in output for sign in WITHOUT_NETWORK):
        return UnreachableError(
            f"{attempt.short}: not all of it is on this machine, and the network is switched off:\n"
            + indent(reason(output)),
            hint="do it once with network; after that the packages are kept",
        )
    if found := MISMATCH.search(output):
        return ResolutionError(
            f"{found['package']}: the index gives another file than the one that was locked:\n"
            + indent(reason(output)),
            hint="if the project brings its lock, lock anew; if not, ask who changed the index",
        )
    if found := UNBUILT.search(output):
        return not_built(output, found["package"], attempt)
    if "No solution found" in output:
        return no_solution(output, attempt)
    if GIT.search(output):
        return UnreachableError(
            f"{attempt.short}: a package from Git cannot be fetched:\n" + indent(reason(output)),
            hint="try its address with `git ls-remote`; private ones need your ssh key or credential helper",
        )
    if UNREACHABLE.search(output):
        return unreachable(output, attempt)
    return ResolutionError(
        f"the packages of {attempt.short} cannot be had for Python {attempt.python}{attempt.when}:\n"
        + indent(reason(output)),
        hint="correct the requirement that is named above",
    )


def no_solution(output: str, attempt: Attempt) -> ResolutionError:
    return ResolutionError(
        f"no packages fit {attempt.short} for Python {attempt.python}{attempt.when}:\n"
        + indent(reason(output)),
        hint=way_out(output, attempt),
    )


def way_out(output: str, attempt: Attempt) -> str:
    """What would make the resolution work, as far as uv's words tell."""
    flat = " ".join(output.split())
    if (found := PUBLISHED.search(flat)) and attempt.as_of:
        next_day = datetime.fromisoformat(found["day"]) + timedelta(days=1)
        return (
            f"{found['name']} {found['version']} was published on {found['day']}, after the date that counts "
            f"here, {attempt.as_of:%Y-%m-%d}: use `--as-of {next_day:%Y-%m-%d}`, "
            "or `resolve: latest` in bodywork.yaml"
        )
    if (found := FILTERED.search(flat)) and attempt.as_of:
        return (
            f"only releases of {found['name']} up to {attempt.as_of:%Y-%m-%d} were looked at: "
            "use `--as-of` with a later date, or `resolve: latest` in bodywork.yaml"
        )
    if found := UNKNOWN.search(flat):
        return f"is {found['name']} spelt right? An index of your own is named with UV_INDEX or in uv.toml"
    if "Python ABI tag" in flat:
        tags = TAGS.findall(flat.split("following Python ABI tags", 1)[-1])
        fits = ", ".join(f'"3.{minor}"' for minor in sorted(set(map(int, tags))) if minor >= OLDEST_MINOR)
        return f"set `python:` in bodywork.yaml to one of {fits}, or ask for another version of the package"
    if found := NEEDS_PYTHON.search(flat):
        return (
            f"set `python:` in bodywork.yaml to {found['wanted']}, or ask for another version of the package"
        )
    return "loosen or correct one of the requirements that are named above"


def not_built(output: str, package: str, attempt: Attempt) -> ResolutionError:
    return ResolutionError(
        f"{package} has no ready-made wheel for Python {attempt.python} here, and building it failed:\n"
        + indent(build_log(output)),
        hint="ask for a version with wheels for this Python, set `python:` to one that it was made for, "
        "or install what its build lacks",
    )


def unreachable(output: str, attempt: Attempt) -> UnreachableError:
    if DENIED.search(output):
        hint = "give uv the index's credentials, with `UV_INDEX_<NAME>_USERNAME`, `_PASSWORD` or ~/.netrc"
    else:
        hint = "check network, proxy (HTTPS_PROXY) and index settings (UV_INDEX, uv.toml), then try again"
    return UnreachableError(
        f"the package index cannot be reached for {attempt.short}:\n" + indent(reason(output)), hint=hint
    )


def indent(text: str) -> str:
    return "\n".join(f"  {without_secrets(line)}" for line in text.splitlines())
