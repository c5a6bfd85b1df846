"""Sends datagrams to a WireGuard port for so many seconds; a program of its own.

    stranger.py closed|garbage HOST PORT SECONDS RATE
    stranger.py initiations HOST PORT SECONDS RATE PUBLIC-KEY SOURCE…   well-formed, right mac1, from many addresses
    stranger.py replay HOST PORT SECONDS RATE MESSAGE                   one message in hexadecimal, again and again
    stranger.py capture INTERFACE PORT SECONDS                          prints such a message: a handshake initiation

RATE is in thousands a second; 0 is as fast as one process can. The first line it prints says that it is ready. A flood
begins with a line on standard input.
"""
import base64
import hashlib
import itertools
import json
import os
import random
import select
import socket
import struct
import sys
import time

UDP_SEGMENT = 103  # cmsg: the kernel cuts one buffer into messages of this length
SEGMENTS = 64
BUFFERS = 64
LONGEST = 65_000  # bytes of a buffer
INITIATION = 148
ETH_P_ALL = 3


def mac1(key, message):
    """The keyed hash that a message to the owner of a public key begins to prove itself with."""
    return hashlib.blake2s(message, key=hashlib.blake2s(b"mac1----" + key).digest(), digest_size=16).digest()


def initiation(key):
    message = b"\1\0\0\0" + os.urandom(112)
    return message + mac1(key, message) + bytes(16)


def buffers(kind, more):
    """Buffers of messages of one length each, with that length."""
    for _ in range(BUFFERS):
        if kind == "initiations":
            key = base64.b64decode(more[0])
            yield b"".join(initiation(key) for _ in range(SEGMENTS)), INITIATION
        elif kind == "replay":
            message = bytes.fromhex(more[0])
            yield message * SEGMENTS, len(message)
        else:
            length = random.randint(100, 1400)
            count = min(SEGMENTS, LONGEST // length)
            yield b"".join(b"\4\0\0\0" + os.urandom(length - 4) for _ in range(count)), length


def flood(kind, host, port, seconds, rate, *more):
    seconds, rate = float(seconds), float(rate) * 1e3
    made = list(buffers(kind, more))
    sockets = []
    for source in more[1:] if kind == "initiations" else [""] * 8:
        sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sockets[-1].bind((source, 0))
        sockets[-1].connect((host, int(port)))
    print("ready", flush=True)
    sys.stdin.readline()
    # one less than a multiple: every socket sends every buffer in time
    turns = zip(itertools.cycle(sockets), itertools.cycle(made[:-1]))
    sent, start = 0, time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        if rate and sent > passed * rate:
            time.sleep(0.0005)
            continue
        for sender, (data, length) in itertools.islice(turns, 1 if rate else 16):
            try:
                sender.sendmsg([data], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", length))])
                sent += len(data) // length
            except (BlockingIOError, ConnectionRefusedError):
                pass  # a full queue, or word that nobody listens
    print(json.dumps({"messages": sent, "seconds": time.monotonic() - start}))


def capture(interface, port, seconds):
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    listener.bind((interface, ETH_P_ALL))
    print("ready", flush=True)
    deadline = time.monotonic() + float(seconds)
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([listener], [], [], left)[0]:
            break
        packet = listener.recv(65_536)
        header = (packet[0] & 15) * 4
        datagram = packet[header:]
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP or len(datagram) != 8 + INITIATION:
            continue
        if struct.unpack("!H", datagram[2:4])[0] == int(port) and datagram[8] == 1:
            print(datagram[8:].hex())
            break


if __name__ == "__main__":
    if sys.argv[1] == "capture":
        capture(*sys.argv[2:])
    else:
        flood(*sys.argv[1:])
