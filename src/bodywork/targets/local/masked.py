"""What stages print, without the values of their secrets.

The output of batch stages comes through this process and is masked here. Replicas write to their log files by
themselves, so that they outlive the agent; one that has secrets writes to a filter, a small process of its
own that does the same and lives for as long as anything prints. Replicas without secrets have none.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing
from pathlib import Path

from bodywork.process import Process
from bodywork.stage.log_filter import SILENCE
from bodywork.stage.masking import Masker

FILTER = Path(__file__).resolve().parents[2] / "stage" / "log_filter.py"
LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
LONGEST_LINE = 1024 * 1024


async def masked(chunks: AsyncGenerator[bytes, None], values: Collection[str]) -> AsyncGenerator[bytes, None]:
    """The chunks, in whole lines (but for overlong ones), with `***` for each of the values."""
    masker, rest = Masker(values), b""
    async with aclosing(_with_silences(chunks, lambda: masker.holds)) as pieces:
        async for piece in pieces:
            rest += masker.settle() if piece is None else masker.feed(piece)
            cut = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
            if not cut and len(rest) > LONGEST_LINE:
                cut = len(rest)
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
    rest += masker.end()
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


async def _with_silences(
    chunks: AsyncGenerator[bytes, None], waiting: Callable[[], bool]
) -> AsyncGenerator[bytes | None, None]:
    """The chunks, and None where nothing comes for a while although somebody is `waiting` for more."""
    async with aclosing(chunks):
        while True:
            coming = asyncio.ensure_future(_next(chunks))
            try:
                if waiting() and not (await asyncio.wait({coming}, timeout=SILENCE))[0]:
                    yield None
                chunk = await coming
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait({coming})
            if chunk is None:
                return
            yield chunk


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


def start_filter(log: int, secrets: Mapping[str, str]) -> tuple[Process, int]:
    """A filter that writes to the descriptor `log`, and the descriptor to print to.

    `secrets` are values by variable. The caller closes both descriptors of its own. Raises OSError.
    """
    reader, writer = os.pipe()
    variables = {name: os.environ[name] for name in LIBRARIES if name in os.environ}
    try:
        process = Process.start(
            (sys.executable, "-I", "-S", str(FILTER)),
            cwd=Path("/"),
            env={**variables, **secrets, "BODYWORK_SECRETS": ",".join(secrets)},
            input=reader,
            output=log,
        )
    except BaseException:
        os.close(writer)
        raise
    finally:
        os.close(reader)
    return process, writer
