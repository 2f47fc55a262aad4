"""Calls the gRPC service through the gateway: `grpc_echo.py ADDRESS PORT`.

One connection, four calls. Prints one JSON line per call, with the connection's local address as the
kernel knows it: gRPC does not tell.
"""

import json
import os
import socket
import struct
import sys

import grpc

address, port = sys.argv[1], int(sys.argv[2])


def own_connection():
    """The local end of this process's one connection to the gateway, from /proc."""
    inodes = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the directory's own
            continue
        if target.startswith("socket:["):
            inodes.add(target[len("socket:["):-1])
    ends = set()
    for table, prefix in (("tcp", 0), ("tcp6", 12)):
        with open(f"/proc/self/net/{table}") as lines:
            for fields in (line.split() for line in lines.readlines()[1:]):
                host, _, peer_port = fields[2].partition(":")
                if fields[9] in inodes and int(peer_port, 16) == port:
                    host, _, local_port = fields[1].partition(":")
                    # Groups of 32 bits, each in this host's byte order.
                    raw = b"".join(struct.pack("=I", int(host[i:i + 8], 16)) for i in range(0, len(host), 8))
                    ends.add(f"{socket.inet_ntoa(raw[prefix:prefix + 4])}:{int(local_port, 16)}")
    (end,) = ends
    return end


def status_of(call):
    try:
        call()
        return 0
    except grpc.RpcError as error:
        return error.code().value[0]


with grpc.insecure_channel(f"{address}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
    echo = "/demo.Echo/"
    calls = {
        "Say": lambda: channel.unary_unary(echo + "Say")(b"hi", timeout=10),
        "Count": lambda: list(channel.unary_stream(echo + "Count")(b"hi", timeout=10)),
        "Chat": lambda: list(channel.stream_stream(echo + "Chat")(iter([b"a", b"b"]), timeout=10)),
        "Fail": lambda: channel.unary_unary(echo + "Fail")(b"hi", timeout=10),
    }
    for name, call in calls.items():
        status = status_of(call)
        print(json.dumps({"local": own_connection(), "path": echo + name, "method": "POST", "status": 200, "grpc_status": status}))
