"""What Schemathesis does not know by itself: bodies of batches are bytes as they are."""

import schemathesis


@schemathesis.serializer("application/x-protobuf")
def protobuf(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()
