"""The gRPC service behind the gateway: `grpc_echo.py ADDRESS PORT`.

/demo.Echo/Say    unary: answers the message
/demo.Echo/Count  server streaming: answers the message three times
/demo.Echo/Chat   bidirectional: answers each message
/demo.Echo/Fail   unary: status 9, FAILED_PRECONDITION

Messages are plain bytes: no generated code is needed.
"""

import sys
from concurrent import futures

import grpc


def say(message, context):
    return message


def count(message, context):
    yield from [message] * 3


def chat(messages, context):
    yield from messages


def fail(message, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "asked to fail")


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers([
    grpc.method_handlers_generic_handler("demo.Echo", {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    })
])
if server.add_insecure_port(f"{sys.argv[1]}:{sys.argv[2]}") == 0:
    sys.exit("the port is taken")
server.start()
server.wait_for_termination()
