"""An API on a server of the test's own."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bodywork.targets.kubernetes.client.api import Api


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Callable[..., Api]]:
    """connect(url, user={...}, cluster={...}, environment={...}, patience=..., note=...)"""
    opened: list[Api] = []

    def make(
        url: str,
        *,
        user: dict[str, Any] | None = None,
        cluster: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        **more: Any,
    ) -> Api:
        path = tmp_path / f"config-{len(opened)}"
        config = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "loop", "user": "me"}}],
            "clusters": [{"name": "loop", "cluster": {"server": url, **(cluster or {})}}],
            "users": [{"name": "me", "user": user or {}}],
        }
        path.write_text(json.dumps(config))
        seen = {"PATH": os.environ["PATH"], "KUBECONFIG": str(path), **(environment or {})}
        api = Api.open(seen, **more)
        opened.append(api)
        return api

    yield make
    for api in opened:
        await api.close()
