"""Traffic of the table in table.rs: `cases.py CASE` makes it, in a network namespace of its own.

Prints one line of JSON: the namespace's cookie, the process, and what `ss` said of each end while
the connection was open.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = "127.0.0.1"
PORT = 4000
MPTCP = 262
SO_NETNS_COOKIE = 71


def tcp(family=socket.AF_INET, protocol=0):
    return socket.socket(family, socket.SOCK_STREAM, protocol)


def listening(address=(HERE, PORT), family=socket.AF_INET, backlog=16, options=(), protocol=0):
    listener = tcp(family, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for option in options:
        listener.setsockopt(*option)
    listener.bind(address)
    listener.listen(backlog)
    return listener


def connected(address=(HERE, PORT), family=socket.AF_INET, protocol=0, options=()):
    active = tcp(family, protocol)
    for option in options:
        active.setsockopt(*option)
    active.connect(address)
    return active


def ss():
    """What `ss` says of each open end: key is the local port's role."""
    lines = subprocess.run(["ss", "-tinOH"], check=True, capture_output=True, text=True).stdout
    ends = {}
    for line in lines.splitlines():
        fields = line.split()
        local, peer = fields[3], fields[4]
        end = "passive" if local.endswith(f":{PORT}") else "active"
        told = {"state": fields[0]}
        for field in fields[5:]:
            key, colon, value = field.partition(":")
            if colon and key in ("bytes_acked", "bytes_received", "segs_out", "segs_in"):
                told[key] = int(value)
            if key == "retrans":
                told[key] = int(value.split("/")[1])
        ends[end] = told
    return ends


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def exchange(active, passive):
    """Three bytes there, five back; then `ss` looks; then both close in order, the active end first."""
    active.sendall(b"abc")
    assert passive.recv(9) == b"abc"
    passive.sendall(b"defgh")
    assert active.recv(9) == b"defgh"
    # The last bytes may not be acknowledged yet.
    until(lambda: ss().get("passive", {}).get("bytes_acked", 5) == 5)
    told = ss()
    active.shutdown(socket.SHUT_WR)
    assert passive.recv(9) == b""
    passive.close()
    assert active.recv(9) == b""
    active.close()
    return told


def simple(**how):
    listener = listening()
    active = connected(**how)
    return exchange(active, listener.accept()[0])


def ipv4():
    return simple()


def ipv6():
    listener = listening(("::1", PORT), socket.AF_INET6)
    active = connected(("::1", PORT), socket.AF_INET6)
    return exchange(active, listener.accept()[0])


def mapped():
    listener = listening(("::", PORT), socket.AF_INET6)
    active = connected((f"::ffff:{HERE}", PORT), socket.AF_INET6)
    return exchange(active, listener.accept()[0])


def refused():
    assert tcp().connect_ex((HERE, PORT)) == 111


def unanswered():
    assert tcp().connect_ex((HERE, PORT)) == 110


def given_up():
    active = tcp()
    active.settimeout(0.2)
    try:
        active.connect((HERE, PORT))
    except TimeoutError:
        active.close()


def unreachable():
    assert tcp().connect_ex((HERE, PORT)) == 113


def slow_accept():
    listener = listening()
    active = connected()
    time.sleep(0.3)
    return exchange(active, listener.accept()[0])


def full_queue():
    """The queue holds one more than its length; what comes then waits until somebody accepts."""
    listener = listening(backlog=0)
    first = connected()
    second = tcp()
    second.setblocking(False)
    second.connect_ex((HERE, PORT))
    time.sleep(0.3)
    one = listener.accept()[0]
    second.setblocking(True)
    second.settimeout(9)
    second.sendall(b"abc")
    two = listener.accept()[0]
    assert two.recv(9) == b"abc"
    for active, passive in ((first, one), (second, two)):
        active.close()
        assert passive.recv(9) == b""
        passive.close()


def fast_open():
    options = [(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)]
    listener = listening(options=options)
    for _ in range(2):
        # The first brings a cookie, the second has it in its SYN, with the data.
        active = tcp()
        active.sendto(b"abc", 0x20000000, (HERE, PORT))
        passive = listener.accept()[0]
        assert passive.recv(9) == b"abc"
        passive.sendall(b"defgh")
        assert active.recv(9) == b"defgh"
        active.shutdown(socket.SHUT_WR)
        assert passive.recv(9) == b""
        passive.close()
        assert active.recv(9) == b""
        active.close()


def mptcp():
    listener = listening(protocol=MPTCP)
    active = connected(protocol=MPTCP)
    passive = listener.accept()[0]
    active.sendall(b"abc")
    assert passive.recv(9) == b"abc"
    passive.sendall(b"defgh")
    assert active.recv(9) == b"defgh"
    active.close()
    assert passive.recv(9) == b""
    passive.close()


def simultaneous():
    """Both ends connect to each other; the first SYN is dropped, and nobody listens for the second."""
    ends = []
    for own, other in ((PORT, PORT + 1), (PORT + 1, PORT)):
        end = tcp()
        end.bind((HERE, own))
        end.setblocking(False)
        end.connect_ex((HERE, other))
        ends.append(end)
    for end in ends:
        end.setblocking(True)
        end.settimeout(9)
    one, other = ends
    one.sendall(b"abc")
    assert other.recv(9) == b"abc"
    one.close()
    assert other.recv(9) == b""
    other.close()


def reuse_port():
    """One of two listeners closes while a connection waits in its queue: the other has it."""
    options = [(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)]
    leaving = listening(options=options)
    active = connected()
    staying = listening(options=options)
    leaving.close()
    passive = staying.accept()[0]
    return exchange(active, passive)


def half_close():
    listener = listening()
    active = connected()
    passive = listener.accept()[0]
    active.shutdown(socket.SHUT_WR)
    assert passive.recv(9) == b""
    time.sleep(0.1)
    passive.sendall(b"defgh")
    assert active.recv(9) == b"defgh"
    passive.close()
    assert active.recv(9) == b""
    active.close()


def unread_data():
    """The passive end closes before it has read: an RST."""
    listener = listening()
    active = connected()
    passive = listener.accept()[0]
    active.sendall(b"abc")
    assert passive.recv(9, socket.MSG_PEEK) == b"abc"
    passive.close()
    until(lambda: active.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 104)


def linger():
    """The active end closes with SO_LINGER 0: an RST."""
    listener = listening()
    active = connected()
    passive = listener.accept()[0]
    active.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    active.close()
    until(lambda: passive.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 104)


def drop_all():
    subprocess.run(["nft", "add", "rule", "inet", "test", "in", "tcp", "dport", str(PORT), "drop"], check=True)


def keep_alive():
    listener = listening()
    active = connected()
    passive = listener.accept()[0]
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 1)):
        active.setsockopt(socket.IPPROTO_TCP, option, value)
    active.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    drop_all()
    until(lambda: active.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 110)
    passive.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    passive.close()


def zero_window():
    """The peer does not read until its window is full; then it reads all."""
    listener = listening(options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
    active = connected(options=[(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 500)])
    passive = listener.accept()[0]
    # The kernel takes all at once.
    assert active.send(bytes(20000)) == 20000
    # Shorter than it takes until the window is probed.
    time.sleep(0.1)
    received = 0
    while received < 20000:
        received += len(passive.recv(20000))
    active.close()
    assert passive.recv(9) == b""
    passive.close()


def data_loss():
    """One segment with data is dropped once (by a rule that sees its payload), and sent again."""
    return simple()


def port_reuse():
    """The same four numbers again, at once."""
    options = [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))]
    listener = listening()
    for _ in range(2):
        active = tcp()
        for option in options:
            active.setsockopt(*option)
        active.bind((HERE, PORT + 1))
        active.connect((HERE, PORT))
        passive = listener.accept()[0]
        active.close()
        until(lambda: passive.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 104)
        passive.close()


def fork():
    """The child inherits the connected socket and closes it; who connected stays the owner."""
    listener = listening()
    active = connected()
    passive = listener.accept()[0]
    child = os.fork()
    if child == 0:
        passive.close()
        active.sendall(b"abc")
        active.close()
        os._exit(0)
    active.close()
    assert passive.recv(9) == b"abc"
    assert passive.recv(9) == b""
    passive.close()
    os.waitpid(child, 0)


def same_socket():
    """Refused, then again on the same socket, with somebody listening."""
    active = tcp()
    assert active.connect_ex((HERE, PORT)) == 111
    listener = listening()
    active.connect((HERE, PORT))
    return exchange(active, listener.accept()[0])


def deferred():
    """The listener wants data before it accepts."""
    listener = listening(options=[(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)])
    active = connected()
    time.sleep(0.2)
    active.sendall(b"abc")
    passive = listener.accept()[0]
    assert passive.recv(9) == b"abc"
    active.close()
    assert passive.recv(9) == b""
    passive.close()


def marked():
    return simple(options=[(socket.SOL_SOCKET, socket.SO_MARK, 77)])


if __name__ == "__main__":
    signal.alarm(15)
    netns = tcp().getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
    ends = globals()[sys.argv[1]]() or {}
    print(json.dumps({"netns": struct.unpack("Q", netns)[0], "ends": ends}))
