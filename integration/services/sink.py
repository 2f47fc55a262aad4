"""Takes telemetry and forgets it: `sink.py ADDRESS PORT`.

OTLP's trace export (unary) and Envoy's gRPC access log (client streaming), without decoding either.
"""

import sys
from concurrent import futures

import grpc


def export(request, context):
    return b""


def stream(requests, context):
    for _ in requests:
        pass
    return b""


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers([
    grpc.method_handlers_generic_handler("opentelemetry.proto.collector.trace.v1.TraceService", {
        "Export": grpc.unary_unary_rpc_method_handler(export),
    }),
    grpc.method_handlers_generic_handler("envoy.service.accesslog.v3.AccessLogService", {
        "StreamAccessLogs": grpc.stream_unary_rpc_method_handler(stream),
    }),
])
if server.add_insecure_port(f"{sys.argv[1]}:{sys.argv[2]}") == 0:
    sys.exit("the port is taken")
server.start()
server.wait_for_termination()
