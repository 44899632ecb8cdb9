"""The second node of the test cluster, which tests drain, and take the power from.

`BODYWORK_TEST_CLUSTER` names the folder of the program `node` that adds it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOME, OTHER = "node-1", "node-2"
MARK = "bodywork-test/here"
"""A label that only one node has: stages that select it are drawn there."""


def kubectl(*arguments: str, seconds: float = 120) -> str:
    done = subprocess.run(
        ["kubectl", *arguments], check=True, capture_output=True, text=True, timeout=seconds
    )
    return done.stdout


@dataclass
class SecondNode:
    """At the end, `forget` has to be called."""

    program: Path = field(
        default_factory=lambda: Path(os.environ["BODYWORK_TEST_CLUSTER"]).resolve() / "node"
    )

    def _call(self, what: str) -> None:
        """Copying all images of the first node takes a minute or more."""
        subprocess.run([self.program, what], check=True, stdout=subprocess.DEVNULL, timeout=420)

    def add(self) -> None:
        if not self._ready():
            self._call("up")
        kubectl("uncordon", OTHER)
        self.mark(OTHER)

    def _ready(self) -> bool:
        path = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        return kubectl("get", "node", OTHER, "--ignore-not-found", path) == "True"

    def mark(self, node: str) -> None:
        kubectl("label", "node", "--all", f"{MARK}-")
        kubectl("label", "node", node, f"{MARK}=yes")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """All new pods come to it."""
        kubectl("cordon", HOME)
        try:
            yield
        finally:
            kubectl("uncordon", HOME)

    def drain(self) -> None:
        kubectl("drain", OTHER, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s")

    def lose(self) -> None:
        """As a machine that loses its power: its processes and its network are gone, and nobody is told."""
        self._call("down")

    def forget(self) -> None:
        """Delete its Node, and what Kubernetes waits for on it."""
        self._call("forget")
        kubectl("label", "node", "--all", f"{MARK}-")
        chosen = [f"--field-selector=spec.nodeName={OTHER}", "--all-namespaces"]
        kubectl("delete", "pods", *chosen, "--force", "--grace-period=0", "--ignore-not-found")
