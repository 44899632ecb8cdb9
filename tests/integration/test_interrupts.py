"""A command that is told to end by SIGTERM, at moments at which Python does not pass that on by itself."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

COMMAND = """
import asyncio, os, signal, time, weakref
from bodywork.cli import main

class Thing: pass

def told(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)

def work(**_):
{work}

main.bodywork.main = work
main.main([])
"""

IN_A_CALLBACK = """
thing = Thing()
reference = weakref.ref(thing, told)
del thing
time.sleep(30)
"""

IN_ANOTHER_TASK = """
async def other():
    told()
    await asyncio.sleep(30)

async def both():
    task = asyncio.create_task(other())
    await asyncio.sleep(30)
    await task

asyncio.run(both())
"""


@pytest.mark.parametrize("work", [IN_A_CALLBACK, IN_ANOTHER_TASK, "told()\ntime.sleep(30)"])
def test_it_ends_and_says_so(work: str) -> None:
    code = COMMAND.format(work=textwrap.indent(work, "    "))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
