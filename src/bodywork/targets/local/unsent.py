"""What a batch stage has made, on its way into the store.

A store may be away for longer than anybody waits, its credential may have expired while a model was
trained, the command may be killed while it sends: the outputs stay here until the store has taken
them, and the next attempt, or `resume`, does nothing but put them there.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bodywork.artifacts.base import Store
from bodywork.artifacts.files import room_on
from bodywork.errors import BodyworkError, MachineError, StageError
from bodywork.spec.model import Output, Stage
from bodywork.targets.base import Began, Ended, Exited, Printed, Sign

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

    def send(self, outputs: Path | None = None) -> tuple[dict[str, str], str]:
        """Put the stage's outputs into the store, out of the folder `outputs` if they are not here yet.

        Gives back digests by output name, and a sentence, empty when all are kept. Raises
        MachineError for a full disk.
        """
        if outputs is not None:
            with room_on(self.folder):
                self._take(outputs)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wanted = self.stage.outputs
            results = list(pool.map(lambda output: self._put(self.folder / output.file), wanted))
        failed = [(o, r) for o, r in zip(wanted, results, strict=True) if isinstance(r, BodyworkError)]
        if failed:
            return {}, self._failed(*failed[0])
        shutil.rmtree(self.folder, ignore_errors=True)
        return {o.name: str(digest) for o, digest in zip(wanted, results, strict=True)}, ""

    async def watch(self) -> AsyncIterator[Sign]:
        """The signs of an attempt that only sends."""
        yield Began(key=str(self.folder))
        yield Exited()
        yield Printed(text="an earlier attempt has made all outputs: they are put into the store\n")
        outputs, reason = await asyncio.to_thread(self.send)
        yield Ended(ok=not reason, reason=reason, outputs=outputs)

    def _take(self, outputs: Path) -> None:
        for output in self.stage.outputs:
            path = outputs / output.file
            if path.is_symlink():  # to somewhere that may be gone by the next attempt
                real = path.resolve()
                path.unlink()
                _ = shutil.copytree(real, path, symlinks=True) if real.is_dir() else shutil.copy2(real, path)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        outputs.rename(self.folder)

    def _put(self, path: Path) -> str | BodyworkError:
        try:
            return self._store().put(path)
        except MachineError:
            raise
        except BodyworkError as error:
            return error

    def _failed(self, output: Output, error: BodyworkError) -> str:
        reason = f"its output {output.name} could not be kept: {error.message}"
        if isinstance(error, StageError):  # it is the output that is wrong, not the store
            shutil.rmtree(self.folder, ignore_errors=True)
            return reason
        hint = f" ({error.hint})" if error.hint else ""
        return f"{reason}{hint}; all outputs are kept on this machine, and `bodywork resume` puts them there"
