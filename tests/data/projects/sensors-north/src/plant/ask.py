import asyncio

import aiohttp


async def get(session, host):
    async with session.get(f"http://{host}:9000/") as response:
        said = await response.json()
        return f"{said['plant']}/{said['sensor']}"


async def main():
    async with aiohttp.ClientSession() as session:
        print(" ".join(await asyncio.gather(*(get(session, host) for host in ("collect", "alarms")))))


asyncio.get_event_loop().run_until_complete(main())
