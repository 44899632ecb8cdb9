"""What starts the agent with the machine: files that systemd and launchd take as they are meant."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bodywork.app.here.service_unit import Unit, install, uninstall, unit_of
from bodywork.app.home import Home


def unit(tmp_path: Path, platform: str = "linux", **ours: str) -> Unit:
    variables = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"} | ours
    return unit_of(Home.find(variables), variables, platform=platform)


def test_the_unit_of_systemd(tmp_path: Path) -> None:
    made = unit(tmp_path)
    assert made.path == tmp_path / ".config" / "systemd" / "user" / "bodywork-agent.service"
    home = tmp_path / ".local" / "share" / "bodywork"
    assert f'Environment="BODYWORK_HOME={home}"\n' in made.text
    assert 'Environment="PATH=/usr/bin:/bin"\n' in made.text
    assert f'ExecStart="{sys.executable}" "-m" "bodywork" "agent" "start"\n' in made.text
    assert "WantedBy=default.target" in made.text
    assert made.on[-1] == ("systemctl", "--user", "enable", "--now", "bodywork-agent.service")
    assert "enable-linger" in made.advice


def test_another_home_has_a_unit_of_its_own(tmp_path: Path) -> None:
    other = unit(tmp_path, BODYWORK_HOME=str(tmp_path / "other"))
    assert other.path != unit(tmp_path).path and other.path.parent == unit(tmp_path).path.parent


def test_what_systemd_would_replace_stands_for_itself(tmp_path: Path) -> None:
    made = unit(tmp_path, BODYWORK_CACHE='/a b/%h/$HOME/"c"')
    assert 'Environment="BODYWORK_CACHE=/a b/%%h/$$HOME/\\"c\\""\n' in made.text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    made = unit(tmp_path, BODYWORK_CACHE="/a b/%h/c")
    assert verify(tmp_path / "good.service", made.text) == 0
    assert verify(tmp_path / "worse.service", made.text.replace('ExecStart="', 'ExecStart="no/such')) != 0


def verify(file: Path, text: str) -> int:
    """What systemd has to say; it wants a folder for its own state even so."""
    file.write_text(text)
    env = os.environ | {"XDG_RUNTIME_DIR": str(file.parent)}
    command = ["systemd-analyze", "--user", "verify", str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    print(done.stderr)
    return done.returncode


def test_the_file_of_launchd(tmp_path: Path) -> None:
    made = unit(tmp_path, "darwin")
    assert made.path == tmp_path / "Library" / "LaunchAgents" / "bodywork-agent.plist"
    document = plistlib.loads(made.text.encode())
    assert document["ProgramArguments"] == [sys.executable, "-m", "bodywork", "agent", "start"]
    assert document["RunAtLoad"] and document["AbandonProcessGroup"]
    assert document["EnvironmentVariables"]["PATH"] == "/usr/bin:/bin"


def test_it_is_written_and_undone_and_what_could_not_be_done_is_told(tmp_path: Path) -> None:
    file = tmp_path / "units" / "bodywork-agent.service"
    made = Unit(path=file, text="text\n", on=(("true",), ("no-such-program", "x")), off=(("false",),))
    assert install(made) == "there is no no-such-program on this machine"
    assert file.read_text() == "text\n"
    assert uninstall(made) and not file.exists()
    assert not uninstall(made)
    assert install(Unit(path=file, text="", on=(("true",),), off=())) == ""
