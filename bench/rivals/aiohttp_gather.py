# The seed's own way: aiohttp, asyncio.gather and a Semaphore of 64. argv: url, count. Prints jobs per second.
import asyncio
import sys
import time

import aiohttp


async def main(url: str, count: int) -> None:
    semaphore = asyncio.Semaphore(64)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

        async def one() -> str:
            async with semaphore, session.get(url) as response:
                return await response.text()

        start = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(count)))
        print(count / (time.perf_counter() - start))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
