"""A command on a terminal of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from tool import Tool


def at_a_terminal(tool: Tool, *arguments: str, typed: str = "", **env: str) -> tuple[int, str]:
    """A command on a terminal of its own: its exit code, and all that the terminal showed."""
    ours, its = os.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "bodywork", *arguments],
            env=tool.env | env,
            cwd=tool.home,
            stdin=its,
            stdout=its,
            stderr=its,
        ) as child:
            os.close(its)
            os.write(ours, typed.encode())
            shown = b""
            while True:
                try:
                    some = os.read(ours, 65536)
                except OSError:  # how Linux says that the last writer has gone
                    break
                if not some:
                    break
                shown += some
        return child.returncode, shown.decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
