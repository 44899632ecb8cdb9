"""What a batch stage has made, on its way into the store.

A store may be away for longer than anybody waits, or its credential may have expired while a model
was trained: then the outputs stay here, the stage fails, and its next attempt, or `resume`, does
nothing but put them there.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bodywork.artifacts.base import Store
from bodywork.errors import BodyworkError, MachineError, StageError
from bodywork.spec.model import Output, Stage
from bodywork.targets.base import Began, Ended, Printed, Sign

AT_ONCE = 4
"""Outputs of a stage that are put at the same time."""


class Unsent:
    """The outputs of `stage` in `folder`, which is there only while the store has not taken them.

    `store` opens it, with the credential of that moment: the one of hours ago may have ended.
    """

    def __init__(self, stage: Stage, folder: Path, store: Callable[[], Store]) -> None:
        self.stage = stage
        self.folder = folder
        self._store = store

    @property
    def there(self) -> bool:
        return self.folder.is_dir()

    def send(self, outputs: Path) -> tuple[dict[str, str], str]:
        """Put the stage's outputs out of the folder `outputs` into the store.

        Gives back digests by output name, and a sentence, empty when all are kept. When the store
        has not taken them, they are moved here. Raises MachineError for a full disk.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wanted = self.stage.outputs
            results = list(pool.map(lambda output: self._put(outputs / output.file), wanted))
        failed = [(o, r) for o, r in zip(wanted, results, strict=True) if isinstance(r, BodyworkError)]
        if not failed:
            shutil.rmtree(self.folder, ignore_errors=True)
            return {o.name: str(digest) for o, digest in zip(wanted, results, strict=True)}, ""
        return {}, self._failed(*failed[0], outputs)

    async def watch(self) -> AsyncIterator[Sign]:
        """The signs of an attempt that only sends."""
        yield Began(key=str(self.folder))
        yield Printed(text="an earlier attempt has made all outputs: they are put into the store\n")
        outputs, reason = await asyncio.to_thread(self.send, self.folder)
        yield Ended(ok=not reason, reason=reason, outputs=outputs)

    def _put(self, path: Path) -> str | BodyworkError:
        try:
            return self._store().put(path)
        except MachineError:
            raise
        except BodyworkError as error:
            return error

    def _failed(self, output: Output, error: BodyworkError, outputs: Path) -> str:
        reason = f"its output {output.name} could not be kept: {error.message}"
        if isinstance(error, StageError):  # it is the output that is wrong, not the store
            return reason
        if outputs != self.folder:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            outputs.rename(self.folder)
        hint = f" ({error.hint})" if error.hint else ""
        return f"{reason}{hint}; all outputs are kept on this machine, and `bodywork resume` puts them there"
