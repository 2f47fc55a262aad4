"""A service that answers each request with the header lines that it received, as JSON: `headers.py ADDRESS PORT`.

Names and values are shown as they came, in order; bytes beyond ASCII as Latin-1. `GET /status/NNN` answers
with that status. HTTP/1.1, without bodies of requests.
"""

import asyncio
import json
import sys


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            request, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            path = request.split(" ")[1]
            status = int(path.rsplit("/", 1)[1]) if path.startswith("/status/") else 200
            headers = [line.split(":", 1) for line in lines]
            body = json.dumps([[name, value.strip(" \t")] for name, value in headers]).encode()
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]), limit=1 << 20)
    await server.serve_forever()


asyncio.run(main())
