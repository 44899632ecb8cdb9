"""What the module of a stage gets to work with in its pod: folders, command and variables.

The same as on one machine (`targets/local/workplace.py`), so that a project behaves the same.
"""

import os
import posixpath
import shutil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping

    from bodywork.stage.order import Order

HERE = os.path.dirname(os.path.abspath(__file__))
NEARBY = ("localhost", "127.0.0.1", "::1", "127.0.0.0/8", ".svc", ".cluster.local")


class Workplace:
    """The folders below the one that holds the project; they last as long as the pod."""

    def __init__(self, order: "Order") -> None:
        self._order = order
        self.root = os.path.dirname(order.project)
        self.home = os.path.join(self.root, "home")
        self.scratch = os.path.join(self.root, "tmp")
        self.outputs = os.path.join(self.root, "outputs")
        self.leaving = os.path.join(self.root, "leaving")
        """A file that is there once the pod is to end."""

    def make_room(self) -> None:
        """Empty folders for what the stage will write; what the container wrote before it is gone."""
        shutil.rmtree(self.outputs, ignore_errors=True)
        if os.path.exists(self.leaving):
            os.unlink(self.leaving)
        for folder in (self.home, self.scratch):
            os.makedirs(folder, exist_ok=True)
        for output in self._order.outputs:
            os.makedirs(os.path.dirname(self.output(output.file)), exist_ok=True)

    def output(self, file: str) -> str:
        return os.path.join(self.outputs, file)

    def input(self, name: str, file: str) -> str:
        """Where the stage finds an input; it keeps the file name of the output, for its suffix."""
        return os.path.join(self.root, "inputs", name, posixpath.basename(file))

    @property
    def module(self) -> str:
        return os.path.join(self._order.project, self._order.run)

    def command(self, python: str) -> "List[str]":
        """The stage's module in its environment, to be run in the module's own folder."""
        module = os.path.basename(self.module)
        if not module.endswith(".ipynb"):
            return [python, module, *self._order.args]
        runner = os.path.join(HERE, "notebook.py")
        return [python, runner, module, "--save", os.path.join(self.root, module), *self._order.args]

    def variables(self, ours: "Mapping[str, str]", python: str) -> "Dict[str, str]":
        """The stage's whole environment; the container's own has what bodywork.yaml gives."""
        order = self._order
        found = {
            "VIRTUAL_ENV": os.path.dirname(os.path.dirname(python)),
            "PATH": "%s:%s" % (os.path.dirname(python), ours.get("PATH", os.defpath)),
            "PYTHONPATH": order.project,
            "PYTHONUNBUFFERED": "1",
            "HOME": self.home,
            "TMPDIR": self.scratch,
        }
        if order.secrets:
            found["BODYWORK_SECRETS"] = ",".join(order.secrets)
        if order.port is not None:
            found["BODYWORK_HOOK"] = os.path.join(HERE, "hook.py")
            found["BODYWORK_HOOK_PORT"] = "%d:%d" % (order.port, order.port)
            found["BODYWORK_HOOK_HOST"] = "0.0.0.0"
            found["BODYWORK_HOOK_LEAVING"] = self.leaving
        for output in order.outputs:
            found[artifact_variable("OUTPUT", output.name)] = self.output(output.file)
        for one in order.inputs:
            found[artifact_variable("INPUT", one.name)] = self.input(one.name, one.file)
        found.update(self.without_proxy(ours))
        own = {name: value for name, value in found.items() if name not in order.given}
        return dict(ours, **own)

    def without_proxy(self, ours: "Mapping[str, str]") -> "Dict[str, str]":
        """Nothing in the cluster is asked for through a proxy."""
        kept = ours.get("NO_PROXY") or ours.get("no_proxy") or ""
        names = ",".join([*filter(None, kept.split(",")), *NEARBY, *sorted(self._order.hosts)])
        return {"NO_PROXY": names, "no_proxy": names}


def artifact_variable(kind: str, name: str) -> str:
    """`BODYWORK_INPUT_MODEL` for input `model`: upper case, other characters become `_`."""
    cleaned = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    return "BODYWORK_%s_%s" % (kind, cleaned.upper())
