"""A bridge that is not well: `failing_bridge.py SOCKET refuse|hang`.

`refuse` answers every batch by 500; `hang` reads it and never answers.
"""

import os
import socketserver
import sys
import time

path, mode = sys.argv[1], sys.argv[2]


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            self.rfile.read(length)
            if mode == "hang":
                time.sleep(3600)  # until the other side gives up, or this process is ended
            self.wfile.write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if os.path.exists(path):
    os.unlink(path)
with Server(path, Handler) as server:
    print("listening", file=sys.stderr, flush=True)
    server.serve_forever()
