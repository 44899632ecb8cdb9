"""A command that holds a lease until it is killed: `lease_holder.py NAMESPACE RUN WHO-IT-SAYS-IT-IS`.

Prints `held` when it has it, `asked` when it is asked to stop (and ends then), `lost` when another has it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace

from bodywork.errors import BusyError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.lease.holder import Identity
from bodywork.targets.kubernetes.lease.lease import PipelineLease


async def main(namespace: str, run: str, machine: str) -> None:
    me = Identity.of_this_process()
    identity = replace(me, machine=machine) if machine else me
    asked = asyncio.Event()
    async with Api.open(os.environ) as api:
        lease = PipelineLease(
            api, namespace=namespace, pipeline="iris", object_name="iris", identity=identity
        )
        try:
            async with lease.hold(run, on_cancel=asked.set, on_lost=lambda: print("lost", flush=True)):
                print("held", flush=True)
                await asyncio.wait_for(asked.wait(), 120)
                print("asked", flush=True)
        except BusyError as error:
            print(error, flush=True)


asyncio.run(main(*sys.argv[1:]))
