"""Listens and does nothing else: `silent.py ADDRESS PORT`.

A service that hangs: its kernel completes handshakes and acknowledges what comes, and nobody ever reads it.
"""

import signal
import socket
import sys

with socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=128):
    signal.pause()
