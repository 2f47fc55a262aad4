"""Asks the gateway without a pause until SIGTERM: `steady.py ADDRESS PORT PATH`.

Ten requests to a connection, then the next connection. Prints one JSON line per connection: how many of
its requests were answered by 200, and the error that ended it early, if one did.
"""

import http.client
import json
import signal
import sys
import time

ended = False


def end(*_):
    global ended
    ended = True


signal.signal(signal.SIGTERM, end)
while not ended:
    answered, error = 0, None
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
    try:
        for _ in range(10):
            connection.request("GET", sys.argv[3])
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            answered += 1
    except (OSError, ValueError, http.client.HTTPException) as problem:
        error = repr(problem)
    connection.close()
    print(json.dumps({"answered": answered, "error": error}), flush=True)
    if error:
        time.sleep(0.01)  # the gateway is away: neither hammer it nor fill the disk
