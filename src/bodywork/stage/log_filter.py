"""Stands between a replica that has secrets and its log file, and masks their values.

    python -I -S log_filter.py < what the replica prints > its log file

The values are those of the variables that $BODYWORK_SECRETS names, the same that the replica has. We live
until all that print have ended, whatever becomes of who started us: a replica outlives its agent.
Standard library only, Python >= 3.8.
"""

import importlib.util
import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIECE = 64 * 1024
SILENCE = 0.3  # seconds after which whole lines are written, although a value may go on in the next one


def load(name: str) -> "Any":
    """The module beside this file."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("bodywork_" + name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def relay(source: int, target: int, masker: "Any") -> None:
    """Pass on, masked, all that comes from one descriptor to another, until there is no more."""
    while True:
        if not select.select([source], [], [], SILENCE if masker.holds else None)[0]:
            write(target, masker.settle())
            select.select([source], [], [])
        data = os.read(source, PIECE)
        if not data:
            break
        write(target, masker.feed(data))
    write(target, masker.end())


def write(target: int, data: bytes) -> None:
    """A disk that is full loses lines, but ends neither us nor the replica."""
    try:
        while data:
            data = data[os.write(target, data) :]
    except OSError:
        pass


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    names = filter(None, os.environ.get("BODYWORK_SECRETS", "").split(","))
    relay(0, 1, load("masking").Masker([os.environ[name] for name in names]))


if __name__ == "__main__":
    main()
