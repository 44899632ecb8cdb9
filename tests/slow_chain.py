"""Three stages after each other that take their time, and what they print: for what happens in the middle."""

from __future__ import annotations

WORKFLOW = "workflow: a >> b >> c\nstages:\n  a: {run: slow.py}\n  b: {run: slow.py}\n  c: {run: slow.py}\n"
SLOW = "import time\nfor n in range(8):\n    print('line', n, flush=True)\n    time.sleep(0.5)\n"
LINES = [f"line {n}" for n in range(8)]


def printed(text: str, stage: str) -> list[str]:
    """The lines of a stage, out of the output of a command."""
    return [line.partition("| ")[2] for line in text.splitlines() if line.startswith(f"{stage} | ")]
