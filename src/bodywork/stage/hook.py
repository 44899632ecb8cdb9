"""Lets unmodified projects run side by side on one machine; active only inside a stage.

A stage was written for a container of its own: it binds a fixed port and calls other services by
name. This file is run at the start of every Python process of a stage, by a line in a `.pth` file
of the stage's environment:

    import os,sys;p=os.environ.get("BODYWORK_HOOK");p and exec(...)  # see `PTH` of the environment

It costs a process that opens no socket nothing worth measuring, as it only waits for the modules
that do: `network.py` and `leaving.py`, beside this file, change them when they are imported.

Standard library only, Python >= 3.8, and no import that the interpreter has not done by itself
when it starts. Nothing that goes wrong here may end the stage.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

WAITED_FOR = frozenset(("_socket", "uvloop", "aiodns"))
CHANGES = (
    ("network", "ports and service names are as the machine has them"),
    ("leaving", "connections that clients keep end with the pod"),
)
"""Files that change a module, and what is so when they cannot."""


class Finder:
    """Finds no module by itself: sees to it that those waited for are changed once they are loaded."""

    bodywork = True

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name not in WAITED_FOR:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        for finder in others:
            find = getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = Loader(spec.loader)
                return spec
        return None


class Loader:
    """Loads as `loader` does, then changes the module; no trace of it is left in the module."""

    def __init__(self, loader: "Any") -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> "Any":
        if name == "_loader":  # a copy that is not complete yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: "Any") -> "Any":
        return self._loader.create_module(spec)

    def exec_module(self, module: "Any") -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        change(module)


def change(module: "Any") -> None:
    """Make `module` know the ports and names of this stage, and when its pod is to end."""
    for name, otherwise in CHANGES:
        if name == "leaving" and not os.environ.get("BODYWORK_HOOK_LEAVING"):
            continue
        complain = complaint(otherwise)
        try:
            path = os.path.join(os.path.dirname(__file__), name + ".py")
            loader = sys.modules["_frozen_importlib_external"].SourceFileLoader("bodywork_" + name, path)
            loaded: "Any" = {"__name__": "bodywork_" + name, "__file__": path}
            exec(loader.get_code("bodywork_" + name), loaded)
            loaded["change"](module, complain)
        except Exception as error:
            complain(error)


def complaint(otherwise: str) -> "Callable[[Exception], None]":
    """One line on stderr, whatever has become of sys.stderr."""

    def complain(error: Exception) -> None:
        line = "bodywork: %s: %s: %s\n" % (otherwise, type(error).__name__, error)
        try:
            os.write(2, line.encode("utf-8", "replace"))
        except OSError:
            pass

    return complain


def install() -> None:
    if not (os.environ.get("BODYWORK_HOOK_PORT") or os.environ.get("BODYWORK_HOSTS_FILE")):
        return
    if any(getattr(finder, "bodywork", False) for finder in sys.meta_path):
        return  # a venv's .pth files are read twice
    sys.meta_path.insert(0, Finder())
    for name in WAITED_FOR:
        if name in sys.modules:
            change(sys.modules[name])


try:
    install()
except Exception as error:
    complaint(CHANGES[0][1])(error)
