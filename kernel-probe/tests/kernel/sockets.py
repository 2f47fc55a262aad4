"""Sockets of `cases.py`: made, called and closed so that what passes between them is the same each
time. Who waits does so for a condition.
"""

import array
import fcntl
import os
import socket
import struct
import sys
import time

HERE = "127.0.0.1"
PORT = int(sys.argv[2])
MPTCP = 262
SO_NETNS_COOKIE = 71
SIOCOUTQ = 0x5411
MSG_FASTOPEN = 0x20000000
RESETS = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

listeners = []
calls = {"connect": [], "accept": []}
processes = {os.getpid(): "self"}


def step():
    print(flush=True)
    assert sys.stdin.readline()


def timed(call, name, *arguments):
    """Calls, and notes between which moments it was."""
    began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    try:
        return call(*arguments)
    finally:
        calls[name].append((began, time.clock_gettime_ns(time.CLOCK_BOOTTIME)))


def tcp(family=socket.AF_INET, protocol=0, options=()):
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    for option in options:
        made.setsockopt(*option)
    return made


def listening(address=(HERE, PORT), family=socket.AF_INET, backlog=16, options=(), protocol=0):
    listener = tcp(family, protocol, [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), *options])
    listener.bind(address)
    listener.listen(backlog)
    listeners.append(listener)
    return listener


def connect(active, address=(HERE, PORT)):
    """Returns the errno, 0 for none."""
    return timed(active.connect_ex, "connect", address)


def connected(address=(HERE, PORT), family=socket.AF_INET, protocol=0, options=()):
    active = tcp(family, protocol, options)
    assert connect(active, address) == 0
    return active


def accepted(listener):
    return timed(listener.accept, "accept")[0]


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def counted(name):
    """A counter of /proc/net/netstat, of this namespace."""
    with open("/proc/net/netstat") as lines:
        for names, values in zip(lines, lines):
            found = dict(zip(names.split(), values.split()))
            if name in found:
                return int(found[name])
    raise KeyError(name)


def is_acknowledged(end):
    waiting = array.array("i", [0])
    fcntl.ioctl(end, SIOCOUTQ, waiting)
    return waiting[0] == 0


def has_failed(end, error):
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == error


def ask(active, passive):
    active.sendall(b"abc")
    assert passive.recv(9) == b"abc"


def answer(active, passive):
    passive.sendall(b"defgh")
    assert active.recv(9) == b"defgh"


def close(first, second):
    """Closes in order, with both FINs."""
    first.shutdown(socket.SHUT_WR)
    assert second.recv(9) == b""
    second.close()
    assert first.recv(9) == b""
    first.close()


def exchange(active, passive):
    """Three bytes there, five back; then both close in order, the active end first."""
    ask(active, passive)
    answer(active, passive)
    # Else what acknowledges the last bytes may be the FIN.
    until(lambda: is_acknowledged(passive))
    close(active, passive)


def ask_only(active, passive):
    ask(active, passive)
    until(lambda: is_acknowledged(active))
    close(active, passive)
