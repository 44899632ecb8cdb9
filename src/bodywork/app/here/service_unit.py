"""What starts the agent when this machine starts: a systemd user unit, or a launchd file on macOS.

The unit is of the kind that runs one command: `bodywork agent start`. The agent itself is what it
always is; it comes back by itself when it dies, and a unit that started it adds that to reboots.
"""

from __future__ import annotations

import hashlib
import plistlib
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bodywork.app.home import Home
from bodywork.errors import MachineError
from bodywork.process import run

NAME = "bodywork-agent"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
INDEXES = ("UV_CACHE_DIR", "UV_INDEX", "UV_DEFAULT_INDEX", "SSL_CERT_FILE")
PASSED = ("PATH", "BODYWORK_CACHE", "BODYWORK_LOOPBACK", *INDEXES, *PROXIES)
"""Variables that runs may need, taken over as they are when the unit is written."""

PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A file that starts the agent. `on` are the commands that make it count, `off` those that undo that."""

    path: Path
    text: str
    on: tuple[tuple[str, ...], ...]
    off: tuple[tuple[str, ...], ...]
    advice: str = ""


def unit_of(home: Home, ours: Mapping[str, str], *, platform: str = sys.platform) -> Unit:
    """The unit of a home: with the variables that the agent needs, and that are set now."""
    variables = {"BODYWORK_HOME": str(home.state)}
    variables |= {name: ours[name] for name in PASSED if ours.get(name)}
    user = Path(ours.get("HOME") or Path.home())
    name = NAME if home.state == Home.find({"HOME": str(user)}).state else f"{NAME}-{_digest(home)}"
    command = (sys.executable, "-m", "bodywork", "agent")
    if platform == "darwin":
        return _launchd(user, name, command, variables)
    config = Path(ours.get("XDG_CONFIG_HOME") or user / ".config")
    return _systemd(config / "systemd" / "user" / f"{name}.service", command, variables)


def install(unit: Unit) -> str:
    """Write the unit and make it count; returns what could not be done, "" when all is done.

    Raises MachineError when the file cannot be written.
    """
    try:
        unit.path.parent.mkdir(parents=True, exist_ok=True)
        unit.path.write_text(unit.text)
    except OSError as error:
        raise MachineError(f"cannot write {unit.path}: {error.strerror}") from error
    return _all(unit.on)


def uninstall(unit: Unit) -> bool:
    """Undo it; False: it was not installed. The agent goes on until it is stopped."""
    if not unit.path.exists():
        return False
    _all(unit.off)
    unit.path.unlink(missing_ok=True)
    return True


def _all(commands: tuple[tuple[str, ...], ...]) -> str:
    """What the first command that fails has to say."""
    for command in commands:
        try:
            done = run(command, timeout=PATIENCE, check=False)
        except FileNotFoundError:
            return f"there is no {command[0]} on this machine"
        if done.code != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            return said[0] if said else f"{command[0]} exited with {done.code}"
    return ""


def _systemd(path: Path, command: tuple[str, ...], variables: Mapping[str, str]) -> Unit:
    """It stays active after its one command, so that systemd calls the other one before a shutdown."""
    lines = [
        "# Written by `bodywork agent install`.",
        "[Unit]",
        "Description=bodywork agent: keeps services running and fires schedules",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(variables.items())),
        f"ExecStart={' '.join(map(_quoted, (*command, 'start')))}",
        f"ExecStop={' '.join(map(_quoted, (*command, 'stop')))}",
        "TimeoutStopSec=90",
        "",
        "[Install]",
        "WantedBy=default.target",
        "",
    ]
    return Unit(
        path=path,
        text="\n".join(lines),
        on=(("systemctl", "--user", "daemon-reload"), ("systemctl", "--user", "enable", "--now", path.name)),
        off=(("systemctl", "--user", "disable", path.name), ("systemctl", "--user", "daemon-reload")),
        advice="so that it starts at boot, before you log in: loginctl enable-linger",
    )


def _launchd(user: Path, name: str, command: tuple[str, ...], variables: Mapping[str, str]) -> Unit:
    """AbandonProcessGroup: the agent goes on when the command that starts it has ended."""
    path = user / "Library" / "LaunchAgents" / f"{name}.plist"
    document = {
        "Label": name,
        "ProgramArguments": [*command, "start"],
        "EnvironmentVariables": dict(sorted(variables.items())),
        "RunAtLoad": True,
        "AbandonProcessGroup": True,
    }
    return Unit(
        path=path,
        text=plistlib.dumps(document).decode(),
        on=(("launchctl", "load", "-w", str(path)),),
        off=(("launchctl", "unload", "-w", str(path)),),
    )


def _quoted(text: str) -> str:
    """As systemd reads it (systemd.syntax(7)): specifiers, variables and quotes stand for themselves."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


def shown(commands: tuple[tuple[str, ...], ...]) -> str:
    """Commands as they are typed."""
    return " && ".join(shlex.join(command) for command in commands)


def _digest(home: Home) -> str:
    return hashlib.sha256(str(home.state).encode()).hexdigest()[:8]
