"""For which platform packages are locked, by the nodes of a cluster and the machine that deploys."""

from __future__ import annotations

import pytest

from bodywork.app.cluster.platform import platform_for

INTEL, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"


@pytest.mark.parametrize(
    ("nodes", "system", "machine", "wanted"),
    [
        ({"amd64"}, "linux", "x86_64", None),
        ({"arm64"}, "linux", "x86_64", ARM),
        ({"amd64", "arm64"}, "linux", "x86_64", None),
        ({"amd64"}, "darwin", "arm64", INTEL),
        ({"arm64"}, "darwin", "arm64", ARM),
        ({"amd64", "arm64"}, "darwin", "arm64", ARM),
        (set(), "darwin", "arm64", ARM),
        (set(), "linux", "aarch64", None),
        ({"s390x"}, "linux", "x86_64", None),
        (set(), "linux", "riscv64", None),
    ],
)
def test_packages_are_for_the_nodes(nodes: set[str], system: str, machine: str, wanted: str | None) -> None:
    assert platform_for(nodes, system, machine) == wanted
