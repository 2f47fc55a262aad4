"""Takes spans as OpenTelemetry's own definitions read them, and writes each down before it answers.

Run as: receiver.py TRANSPORT PORT LEDGER DELAY. TRANSPORT is `grpc` or `http`; LEDGER gets a line of JSON for each
span; DELAY is how long an answer takes after the span was written down, seconds. Prints the port when it listens.
"""

import concurrent.futures
import contextlib
import gzip
import http.server
import json
import sys
import threading
import time

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

transport, port, ledger_path, delay = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
ledger = open(ledger_path, "a", encoding="utf-8")
lock = threading.Lock()


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def complaints(span):
    """What is wrong with a span by the words of trace.proto."""
    keys = [pair.key for pair in span.attributes]
    ids = [(span.trace_id, 16), (span.span_id, 8), *[(link.trace_id, 16) for link in span.links], *[(link.span_id, 8) for link in span.links]]
    return [
        *["an id of a wrong length, or of zeros" for given, length in ids if len(given) != length or not any(given)],
        *["a parent's id of a wrong length" for parent in [span.parent_span_id] if len(parent) not in (0, 8)],
        *["a key twice" for _ in [0] if len(set(keys)) != len(keys) or "" in keys],
        *["no name" for name in [span.name] if not name],
        *["an end before its begin" for _ in [0] if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano],
        *["no kind" for kind in [span.kind] if kind == 0],
    ]


def take(request):
    lines = []
    for of_resource in request.resource_spans:
        resource = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                lines.append(json.dumps({
                    "service": resource.get("service.name"), "trace": span.trace_id.hex(), "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(), "name": span.name, "kind": span.kind, "from": span.start_time_unix_nano,
                    "until": span.end_time_unix_nano, "links": len(span.links), "attributes": len(span.attributes), "complaints": complaints(span),
                }))
    with lock:
        ledger.writelines(line + "\n" for line in lines)
        ledger.flush()
    time.sleep(delay)
    return trace_service_pb2.ExportTraceServiceResponse()


class Posted(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        answer = take(trace_service_pb2.ExportTraceServiceRequest.FromString(body)).SerializeToString()
        # Who asked may have gone meanwhile.
        with contextlib.suppress(BrokenPipeError):
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Called(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        return take(request)


if transport == "http":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Posted)
    print(server.server_address[1], flush=True)
    server.serve_forever()
else:
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Called(), server)
    print(server.add_insecure_port(f"127.0.0.1:{port}"), flush=True)
    server.start()
    server.wait_for_termination()
