"""Connects from `LOCAL` to `ADDRESS PORT`, sends nothing, closes, and prints the local end as JSON.

A refused connect is no error: it is said, as `"refused": true`.
"""

import json
import socket
import sys

with socket.socket() as connection:
    # Bound first: after a refused connect the kernel forgets an address that it chose itself.
    connection.bind((sys.argv[1], 0))
    address, port = connection.getsockname()
    refused = connection.connect_ex((sys.argv[2], int(sys.argv[3]))) != 0
    print(json.dumps({"local": f"{address}:{port}", "refused": refused}))
