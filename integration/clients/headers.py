"""Sends requests with exactly the header lines that it is told: `headers.py ADDRESS PLAN`.

PLAN is a JSON list of connections, `{"port", "requests": [{"path", "headers": [[name, value], ...]}]}`; the
requests of a connection follow each other on it. Prints, as JSON, for each connection the list of its
answers: `{"status", "body"}`; status 0 where the connection ended without one.
"""

import json
import socket
import sys


def ask(connection, reader, path, headers):
    lines = [f"GET {path} HTTP/1.1", "host: example.test", *(f"{name}: {value}" for name, value in headers)]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    status, length = reader.readline(), 0
    if not status:
        return {"status": 0, "body": ""}
    while line := reader.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return {"status": int(status.split()[1]), "body": reader.read(length).decode("latin-1")}


answers = []
with open(sys.argv[2]) as plan:
    for one in json.load(plan):
        with socket.create_connection((sys.argv[1], one["port"]), timeout=20) as connection:
            reader = connection.makefile("rb")
            answers.append([
                ask(connection, reader, request["path"], request["headers"]) for request in one["requests"]
            ])
print(json.dumps(answers))
