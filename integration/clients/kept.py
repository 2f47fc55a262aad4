"""Keeps one connection to the gateway, and asks over it when told to: `kept.py ADDRESS PORT PATH`.

Asks for PATH/0 at its start, and for PATH/1, PATH/2 and so on at each SIGUSR1. Prints one JSON line for each answer.
"""

import http.client
import itertools
import json
import signal
import sys

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
connection.connect()
connection.auto_open = 0  # there is no second connection: asking over one that ended is an error
local = "%s:%d" % connection.sock.getsockname()
for number in itertools.count():
    path = f"{sys.argv[3]}/{number}"
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    answer = {"local": local, "method": "GET", "path": path, "status": response.status}
    print(json.dumps(answer), flush=True)
    signal.sigwait([signal.SIGUSR1])
