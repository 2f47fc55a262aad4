"""Traffic of the table in table.rs: `cases.py CASE PORT` makes it, in a network namespace of its own.

Prints one line of JSON: the namespace's cookie, the processes, and between which moments of
CLOCK_BOOTTIME each connect and each accept was called and returned. Listeners stay until its
standard input ends. `step` waits for a line there, after it has printed one.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

# What is imported leaves no file behind.
sys.dont_write_bytecode = True
from sockets import (
    HERE,
    MPTCP,
    MSG_FASTOPEN,
    PORT,
    RESETS,
    SO_NETNS_COOKIE,
    accepted,
    answer,
    ask,
    ask_only,
    calls,
    close,
    connect,
    connected,
    counted,
    exchange,
    has_failed,
    is_acknowledged,
    listening,
    processes,
    step,
    tcp,
    timed,
    until,
)


def ipv4(**how):
    listener = listening()
    active = connected(**how)
    exchange(active, accepted(listener))


def ipv6():
    listener = listening(("::1", PORT), socket.AF_INET6)
    active = connected(("::1", PORT), socket.AF_INET6)
    exchange(active, accepted(listener))


def mapped():
    listener = listening(("::", PORT), socket.AF_INET6)
    active = connected((f"::ffff:{HERE}", PORT), socket.AF_INET6)
    exchange(active, accepted(listener))


def refused():
    assert connect(tcp()) == 111


def unanswered():
    assert connect(tcp()) == 110


def given_up():
    active = tcp()
    active.settimeout(0.2)
    assert connect(active) == 11
    active.close()


def unreachable():
    assert connect(tcp()) == 113


def slow_accept():
    """The server sleeps: how long, the record shows."""
    listener = listening()
    active = connected()
    time.sleep(0.3)
    exchange(active, accepted(listener))


def full_queue():
    """The queue holds one more than its length; what comes then waits until somebody accepts."""
    step()
    listener = listening(backlog=0)
    first = connected()
    second = tcp()
    second.setblocking(False)
    connect(second)
    until(lambda: counted("ListenDrops") == 1)
    one = accepted(listener)
    second.settimeout(9)
    second.sendall(b"abc")
    two = accepted(listener)
    assert two.recv(9) == b"abc"
    until(lambda: is_acknowledged(second))
    close(first, one)
    close(second, two)


def syn_cookies():
    step()
    ipv4()


def older():
    """One connection and its listener are older than the probe, another connection is not."""
    listener = listening()
    old = connected()
    passive = accepted(listener)
    ask(old, passive)
    step()
    answer(old, passive)
    until(lambda: is_acknowledged(passive))
    close(old, passive)
    new = connected()
    exchange(new, accepted(listener))


def fast_open():
    listener = listening(options=[(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)])
    for _ in range(2):
        # The first brings a cookie, the second has it in its SYN, with the data.
        active = tcp()
        timed(active.sendto, "connect", b"abc", MSG_FASTOPEN, (HERE, PORT))
        passive = accepted(listener)
        assert passive.recv(9) == b"abc"
        answer(active, passive)
        until(lambda: is_acknowledged(passive))
        close(active, passive)


def mptcp():
    listener = listening(protocol=MPTCP)
    active = connected(protocol=MPTCP)
    passive = accepted(listener)
    ask(active, passive)
    answer(active, passive)
    close(active, passive)


def simultaneous():
    """Both ends connect to each other; the first SYN is dropped, and nobody listens for the second."""
    ends = []
    for own, other in ((PORT, PORT + 1), (PORT + 1, PORT)):
        end = tcp()
        end.bind((HERE, own))
        end.setblocking(False)
        connect(end, (HERE, other))
        ends.append(end)
    for end in ends:
        end.settimeout(9)
    ask_only(*ends)


def reuse_port():
    """One of two listeners closes while a connection waits in its queue: the other has it."""
    options = [(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)]
    leaving = listening(options=options)
    active = connected()
    staying = listening(options=options)
    leaving.close()
    exchange(active, accepted(staying))


def listener_closes():
    """The same, where the kernel does not hand on what waits."""
    options = [(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)]
    leaving = listening(options=options)
    active = connected()
    listening(options=options)
    leaving.close()
    until(lambda: has_failed(active, 104))


def half_close():
    listener = listening()
    active = connected()
    passive = accepted(listener)
    active.shutdown(socket.SHUT_WR)
    assert passive.recv(9) == b""
    answer(active, passive)
    until(lambda: is_acknowledged(passive))
    passive.close()
    assert active.recv(9) == b""
    active.close()


def unread_data():
    """The passive end closes before it has read: an RST."""
    listener = listening()
    active = connected()
    passive = accepted(listener)
    active.sendall(b"abc")
    assert passive.recv(9, socket.MSG_PEEK) == b"abc"
    until(lambda: is_acknowledged(active))
    passive.close()
    until(lambda: has_failed(active, 104))


def linger():
    """The active end closes with SO_LINGER 0: an RST."""
    listener = listening()
    active = connected(options=[RESETS])
    passive = accepted(listener)
    active.close()
    until(lambda: has_failed(passive, 104))


def drop_all():
    subprocess.run(["nft", "add", "rule", "inet", "test", "in", "tcp", "dport", str(PORT), "drop"], check=True)


def keep_alive():
    listener = listening()
    active = connected()
    passive = accepted(listener)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
        active.setsockopt(socket.IPPROTO_TCP, option, 1)
    drop_all()
    active.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    until(lambda: has_failed(active, 110))
    passive.setsockopt(*RESETS)
    passive.close()


def zero_window():
    """The peer does not read until its window is full; then it reads all."""
    listener = listening(options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
    active = connected(options=[(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 500)])
    passive = accepted(listener)
    # The kernel takes all at once.
    assert active.send(bytes(20000)) == 20000
    until(lambda: counted("TCPToZeroWindowAdv") > 0)
    received = 0
    while received < 20000:
        received += len(passive.recv(20000))
    until(lambda: is_acknowledged(active))
    close(active, passive)


def port_reuse():
    """The same four numbers again, at once."""
    listener = listening()
    for _ in range(2):
        active = tcp(options=[(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), RESETS])
        active.bind((HERE, PORT + 1))
        assert connect(active) == 0
        passive = accepted(listener)
        active.close()
        until(lambda: has_failed(passive, 104))
        passive.close()


def child(work):
    """Runs `work` in a process that inherits all sockets."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    processes[process] = "child"
    return process


def fork():
    """The child inherits the connected socket, and ends it; who connected stays the owner."""
    listener = listening()
    active = connected()
    passive = accepted(listener)

    def work():
        passive.close()
        active.sendall(b"abc")
        active.shutdown(socket.SHUT_WR)
        assert active.recv(9) == b""
        active.close()

    process = child(work)
    active.close()
    assert passive.recv(9) == b"abc"
    assert passive.recv(9) == b""
    passive.close()
    os.waitpid(process, 0)


def worker():
    """The child inherits the listener, and accepts: it is the owner."""
    listener = listening()
    said, tell = os.pipe()

    def work():
        passive = accepted(listener)
        assert passive.recv(9) == b"abc"
        assert passive.recv(9) == b""
        passive.close()
        os.write(tell, json.dumps(calls["accept"]).encode())

    process = child(work)
    active = connected()
    active.sendall(b"abc")
    until(lambda: is_acknowledged(active))
    active.shutdown(socket.SHUT_WR)
    assert active.recv(9) == b""
    active.close()
    os.waitpid(process, 0)
    calls["accept"] += json.loads(os.read(said, 999))


def same_socket():
    """Refused, then again on the same socket, with somebody listening."""
    active = tcp()
    assert connect(active) == 111
    listener = listening()
    assert connect(active) == 0
    exchange(active, accepted(listener))


def deferred():
    """The listener wants data before it accepts."""
    listener = listening(options=[(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)])
    active = connected()
    until(lambda: counted("TCPDeferAcceptDrop") == 1)
    active.sendall(b"abc")
    passive = accepted(listener)
    assert passive.recv(9) == b"abc"
    close(active, passive)


def marked():
    ipv4(options=[(socket.SOL_SOCKET, socket.SO_MARK, 77)])


if __name__ == "__main__":
    signal.alarm(40)
    # On two processors, segments would overtake each other.
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[PORT // 10 % len(processors)]})
    netns = tcp().getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
    globals()[sys.argv[1]]()
    print(json.dumps({"netns": struct.unpack("Q", netns)[0], "processes": processes, "calls": calls}), flush=True)
    sys.stdin.read()
