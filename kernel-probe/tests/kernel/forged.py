"""Handshakes by raw sockets: `forged.py PORT [[ADDRESS, PORT, OPTIONS], ...]`, options in
hexadecimal digits. Each goes from that address and port to PORT here. Prints, for each, the kinds of
the options of the SYN-ACK. No RST may come in: the kernel has no socket for the answers.
"""

import json
import signal
import socket
import struct
import sys

HERE = "127.0.0.1"
SYN, ACK = 2, 16


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(source, ports, numbers, flags, options=b""):
    """An IPv4 packet with a TCP segment that carries nothing but options."""
    addresses = socket.inet_aton(source) + socket.inet_aton(HERE)
    offset = (20 + len(options)) // 4 << 4

    def tcp(total):
        return struct.pack("!HHIIBBHHH", *ports, *numbers, offset, flags, 65535, total, 0) + options

    pseudo = addresses + struct.pack("!HH", socket.IPPROTO_TCP, 20 + len(options))
    # The kernel fills in the length and the checksum of the IP header.
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_TCP, 0) + addresses
    return ip + tcp(checksum(pseudo + tcp(0)))


def kinds(options):
    """What stands in a list of options; 0 ends it, 1 is padding without a length."""
    while options and options[0] != 0:
        yield options[0]
        options = options[1 if options[0] == 1 else options[1] :]


def handshake(source, port, options, listener):
    ports = (port, listener)
    out.sendto(segment(source, ports, (1000, 0), SYN, options), (HERE, 0))
    while True:
        packet = came.recv(200)
        tcp = packet[(packet[0] & 15) * 4 :]
        fields = struct.unpack("!HHIIBB", tcp[:14])
        if fields[:2] == (listener, port) and fields[5] == SYN | ACK:
            break
    out.sendto(segment(source, ports, (1001, fields[2] + 1), ACK), (HERE, 0))
    return list(kinds(tcp[20 : (fields[4] >> 4) * 4]))


signal.alarm(20)
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
came = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
listener, forged = int(sys.argv[1]), json.loads(sys.argv[2])
print(json.dumps([handshake(source, port, bytes.fromhex(options), listener) for source, port, options in forged]))
