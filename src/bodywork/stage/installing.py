"""How uv is told to install exactly the packages of a lock, and what it means by its failures.

On this machine `environment` does that, in a pod `packages.py`: the same options and the same words.
"""

import re
import textwrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Collection, Dict, FrozenSet, List, Mapping, Optional

ROUNDS = 10
"""How often names of packages without upload times are learned before no date is used at all."""

SHOWN = (
    "Resolved",
    "Downloading",
    "Building",
    "Built",
    "Prepared",
    "Installed",
    "Updating",
    "Updated",
)
"""How the lines of uv begin that tell of its progress."""

# Run by every interpreter of the environment when it starts. It does nothing outside of a stage;
# inside, it runs the hook by way of the import system's own loader, so that the hook is compiled
# once per interpreter wherever its folder can be written. `site` reports errors here and goes on.
HOOK = (
    'import os, sys; p = os.environ.get("BODYWORK_HOOK"); p and exec('
    'sys.modules["_frozen_importlib_external"].SourceFileLoader("bodywork_hook", p)'
    '.get_code("bodywork_hook"), '
    '{"__name__": "bodywork_hook", "__file__": p})\n'
)

KEPT = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "NETRC", "SSH_AUTH_SOCK", "PYENV_ROOT"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        # What compilers look at when a source distribution is built.
        *("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LD_LIBRARY_PATH", "MAKEFLAGS"),
        *("PKG_CONFIG_PATH", "SDKROOT", "DEVELOPER_DIR", "MACOSX_DEPLOYMENT_TARGET"),
        *("CUDA_HOME", "CUDA_PATH", "CARGO_HOME", "RUSTUP_HOME"),
    )
)
KEPT_PREFIXES = ("UV_", "LC_", "XDG_", "GIT_")

# Settings of uv that would change what a lock means, or which environment is worked on.
DROPPED = frozenset(
    (
        *("UV_PYTHON", "UV_MANAGED_PYTHON", "UV_NO_MANAGED_PYTHON", "UV_SYSTEM_PYTHON"),
        *("UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_WORKING_DIR", "UV_WORKING_DIRECTORY"),
        *("UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE", "UV_BUILD_CONSTRAINT", "UV_EXCLUDE_NEWER"),
        *("UV_RESOLUTION", "UV_PRERELEASE", "UV_FORK_STRATEGY", "UV_NO_SOURCES"),
        *("UV_REQUIRE_HASHES", "UV_NO_VERIFY_HASHES", "UV_COMPILE_BYTECODE", "UV_FROZEN", "UV_LOCKED"),
        *("UV_NO_DEV", "UV_NO_GROUP", "UV_NO_DEFAULT_GROUPS", "UV_NO_EDITABLE"),
        *("UV_VENV_CLEAR", "UV_VENV_SEED", "UV_VENV_RELOCATABLE", "UV_CUSTOM_COMPILE_COMMAND"),
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
    )
)

FULL = ("No space left on device", "Disk quota exceeded")
WITHOUT_NETWORK = ("network was disabled", "Network connectivity is disabled", "in offline mode")
UNREACHABLE = re.compile(
    r"error sending request|Request failed after|dns error|tcp connect error|Connection refused"
    r"|Connection reset|operation timed out|network timeout|HTTP status (client|server) error"
    r"|Could not connect|invalid peer certificate|error decoding response body"
)
GIT = re.compile(r"Git operation failed|failed to (fetch|clone)|Git executable not found")
MISMATCH = re.compile(r"[Hh]ash mismatch for `(?P<package>[^`]+)`")
UNBUILT = re.compile(r"Failed to (?:download and )?build `(?P<package>[^`]+)`")
UNDATED = re.compile(r"`(?P<file>[^`]+)` is missing an upload date")
LAST_LINES = 12


def surroundings(environment: "Mapping[str, str]") -> "Dict[str, str]":
    """The variables that uv gets: a fixed set, the user's settings of uv, and no prompts."""
    kept = {
        name: value
        for name, value in environment.items()
        if (name in KEPT or name.startswith(KEPT_PREFIXES)) and name not in DROPPED
    }
    # Interpreters are chosen by us; nothing else may fetch one on the side.
    kept.update(UV_PYTHON_DOWNLOADS="never", GIT_TERMINAL_PROMPT="0", PYTHONUTF8="1")
    return kept


def file_name(form: str) -> str:
    """What uv wants the file with a lock of this form to be called."""
    return "pylock.toml" if form == "pylock" else "requirements.txt"


def sync_arguments(*, text: str, form: str, hashed: bool, file: str, python: str) -> "List[str]":
    """uv's arguments for exactly the packages of a lock, which has this text and is this file.

    uv wants hashes for all packages or for none. Where one has none (it comes from Git, and is
    pinned by its commit), uv still checks those hashes that are given.
    """
    return [
        *("pip", "sync", file, "--python", python),
        *("--no-compile-bytecode", "--allow-empty-requirements"),
        *(("--require-hashes",) if hashed else ()),
        *(("--preview-features", "pylock") if form == "pylock" else ()),
        # Hashes say which file is meant, so that the order of indexes need not.
        *(("--index-strategy", "unsafe-best-match") if "index-url" in text else ()),
    ]


def date_arguments(moment: "Optional[str]", undated: "Collection[str]") -> "List[str]":
    """uv's arguments for the index as of a moment (RFC 3339, UTC), save for some packages."""
    if moment is None:
        return []
    saved = [word for name in sorted(undated) for word in ("--exclude-newer-package", name + "=false")]
    return ["--exclude-newer", moment, *saved]


def undated(output: str) -> "FrozenSet[str]":
    """The packages for which an index told no upload times."""
    names = (re.match(r"(.+?)-\d", found.group("file")) for found in UNDATED.finditer(output))
    return frozenset(re.sub(r"[-_.]+", "-", name.group(1)).lower() for name in names if name)


def reason(output: str) -> str:
    """uv's own explanation: what follows `error:`, without its hints and marks."""
    text = re.split(r"(?m)^error: ", output)[-1].split("\nhint:")[0]
    lines = [re.sub(r"^\s*(cause: )?", "", line) for line in text.splitlines()]
    kept = [without_secrets(line) for line in lines if line and not line.startswith("warning:")]
    if kept and kept[0].startswith("No solution found"):
        kept = kept[1:]
    return "\n".join(kept[-LAST_LINES:]) or "uv said nothing"


def build_log(output: str) -> str:
    """The last lines that the build of a source distribution printed."""
    said = re.split(r"\[std(?:err|out)\]", output)[-1].split("\nhint:")[0]
    lines = [line for line in textwrap.dedent(said).splitlines() if line.strip()]
    return "\n".join(without_secrets(line) for line in lines[-LAST_LINES:])


def without_secrets(text: str) -> str:
    return re.sub(r"(://)[^/@\s]+@", r"\1****@", text)
