"""Where the user wants something to happen: a target, and what singles it out."""

from __future__ import annotations

from dataclasses import dataclass

from bodywork.errors import UsageError

LOCAL, KUBERNETES = "local", "kubernetes"


@dataclass(frozen=True, kw_only=True)
class Where:
    """A target by name, and settings that only `kubernetes` has.

    `target` is `local`, `kubernetes` (the current context of the kubeconfig) or
    `kubernetes:CONTEXT`. `namespace` (None: what bodywork.yaml or the record says), `image` and
    `store_image` (None: the published ones) are those of the cluster.
    """

    target: str = LOCAL
    namespace: str | None = None
    image: str | None = None
    store_image: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in (LOCAL, KUBERNETES) or (self.kind == LOCAL and ":" in self.target):
            raise UsageError(
                f"there is no target {self.target!r}",
                hint="targets are: local, kubernetes, kubernetes:CONTEXT (a context of the kubeconfig)",
            )

    @property
    def kind(self) -> str:
        return self.target.partition(":")[0]

    @property
    def context(self) -> str | None:
        """The context of the kubeconfig that was named; None: the current one."""
        return self.target.partition(":")[2] or None
