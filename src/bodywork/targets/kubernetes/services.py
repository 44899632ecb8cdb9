from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Services:
    api: Any
    pods: Any
    settings: Any
    pipeline: str

    async def observe(self) -> Any:
        return {}

    async def undo_unfinished(self, run: str) -> None: ...
    async def check(self, plan: Any, planned: Any) -> None: ...
    async def begin(self, *a: Any) -> Any: ...
    async def remove(self, services: Any) -> None: ...
    async def erase(self) -> None: ...
