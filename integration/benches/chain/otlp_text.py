"""Prints the text in each OTLP span: `otlp_text.py ADDRESS PORT`.

Protobuf is not decoded: a span's attributes are text, keys and values alike, and numbers are left out. One line for
each export.
"""

import re
import sys
from concurrent import futures

import grpc

TEXT = re.compile(rb"[\x20-\x7e]{2,}")


def export(request, context):
    print(" ".join(text.decode() for text in TEXT.findall(request)), flush=True)
    return b""


server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
server.add_generic_rpc_handlers([
    grpc.method_handlers_generic_handler("opentelemetry.proto.collector.trace.v1.TraceService", {
        "Export": grpc.unary_unary_rpc_method_handler(export),
    }),
])
if server.add_insecure_port(f"{sys.argv[1]}:{sys.argv[2]}") == 0:
    sys.exit("the port is taken")
server.start()
server.wait_for_termination()
