"""Many clients at once: `many.py ADDRESS PORT CONNECTIONS REQUESTS PAUSE SEED`.

Each of CONNECTIONS keeps one HTTP/1.1 connection and sends REQUESTS over it, after a pause of up to PAUSE
seconds each, in turn below /h1/ and /h2/. Every path is sent once. Prints one JSON line for each answer.
"""

import asyncio
import json
import random
import sys
import time


async def exchange(reader, writer, path):
    started_at, begun = time.time_ns(), time.perf_counter_ns()
    writer.write(f"GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    length = next(int(f.split(":")[1]) for f in fields if f.startswith("content-length:"))
    await reader.readexactly(length)
    local = "%s:%d" % writer.get_extra_info("sockname")
    print(json.dumps({
        "local": local, "method": "GET", "path": path, "status": int(status.split()[1]),
        "started_at_unix_ns": started_at, "duration_ns": time.perf_counter_ns() - begun,
    }))


async def client(address, port, number, requests, pause, chance):
    await asyncio.sleep(chance.uniform(0, pause))
    reader, writer = await asyncio.open_connection(address, port)
    for request in range(requests):
        await exchange(reader, writer, f"/h{1 + request % 2}/{number}/{request}")
        await asyncio.sleep(chance.uniform(0, pause))
    writer.close()
    await writer.wait_closed()


async def main(address, port, connections, requests, pause, seed):
    chance = random.Random(seed)
    await asyncio.gather(*(
        client(address, int(port), number, int(requests), float(pause), chance)
        for number in range(int(connections))
    ))


asyncio.run(main(*sys.argv[1:]))
