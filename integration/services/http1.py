"""The HTTP/1.1 service behind the gateway: `http1.py ADDRESS PORT`.

GET /hello       200 "hello"
GET /status/NNN  that status
Connections are kept alive, so that the gateway's pool can reuse them.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one segment: two would wait for a delayed ACK

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.answer()

    def answer(self):
        first, _, rest = self.path.lstrip("/").partition("/")
        status = int(rest) if first == "status" else 200
        body = b"hello\n"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
