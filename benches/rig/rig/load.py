"""Sends UDP datagrams at an even rate, and counts them: a tester that costs little; a program of its own.

    load.py send INTERFACE MAC SOURCE DESTINATION SIZE RATE SECONDS BURST   RATE in datagrams a second
    load.py count ADDRESS   for each line on standard input: how many have arrived at the socket so far
    load.py order ADDRESS   reads them meanwhile; the line is answered by how many were overtaken by later ones

MAC is `-` where the interface has none. Packets enter the interface singly (packet(7), past the queueing discipline),
with the checksum left to the interface, as a UDP socket's is. The receivers tell by a first line that they are ready.
"""
import ctypes
import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time
from array import array

PORT = 5213
SEQUENCE = 8  # the first bytes of a payload
# a sender that is late by more than this leaves datagrams out: half of a TUN device's usual queue
LATE = 250
READ = 512  # at a time
QUEUE = 64 << 20  # bytes: a socket's buffer for what has not been read
NAP = 0.001  # seconds between two drains of it

# asm-generic/socket.h, linux/if_packet.h
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_SNDBUFFORCE, SO_MEMINFO = 26, 33, 32, 55
SOL_PACKET, PACKET_VNET_HDR, PACKET_QDISC_BYPASS = 263, 15, 20
SK_MEMINFO_DROPS = 8
NEEDS_CSUM = 1  # linux/virtio_net.h
UDP_CHECKSUM = 6  # its place in the header


class _Buffer(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("buffers", ctypes.POINTER(_Buffer)),
                ("buffer_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class _OneOfMany(ctypes.Structure):
    _fields_ = [("message", _Message), ("length", ctypes.c_uint)]


class Batch:
    """Datagrams side by side in memory, for sendmmsg and recvmmsg; `sequence` are their numbers."""

    _libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, count, head, size):
        pad = -len(head) % SEQUENCE
        start = pad + len(head)
        step = (start + size + SEQUENCE - 1) // SEQUENCE * SEQUENCE
        memory = bytearray((bytes(pad) + head).ljust(step, b"\0") * count)
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._buffers = (_Buffer * count)(*(_Buffer(base + at * step + pad, len(head) + size) for at in range(count)))
        self._messages = (_OneOfMany * count)()
        for one, buffer in zip(self._messages, self._buffers):
            one.message.buffers, one.message.buffer_count = ctypes.pointer(buffer), 1
        self.sequence = memoryview(memory).cast("Q")[start // SEQUENCE::step // SEQUENCE]

    def send(self, sender, count):
        """How many were sent; none when the interface refused the first."""
        return max(0, self._libc.sendmmsg(sender.fileno(), self._messages, count, socket.MSG_DONTWAIT))

    def receive(self, receiver):
        return max(0, self._libc.recvmmsg(receiver.fileno(), self._messages, len(self._messages),
                                          socket.MSG_DONTWAIT, None))


def ones_complement(data):
    """The sum of RFC 1071."""
    total = sum(word for word, in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def headers(mac, source, destination, size):
    """What stands before the payload: what the kernel is to do, Ethernet if any, IP and UDP."""
    source, destination = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    length = 8 + size
    if source.version == 4:
        kind = b"\x08\x00"
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0x4000, 64, socket.IPPROTO_UDP, 0,
                         source.packed, destination.packed)
        ip = ip[:10] + struct.pack("!H", 0xFFFF - ones_complement(ip)) + ip[12:]
    else:
        kind = b"\x86\xdd"
        ip = struct.pack("!IHBB16s16s", 6 << 28, length, socket.IPPROTO_UDP, 64, source.packed, destination.packed)
    ethernet = bytes.fromhex(mac.replace(":", "")) + bytes(6) + kind if mac != "-" else b""
    pseudo = ones_complement(source.packed + destination.packed + struct.pack("!HH", socket.IPPROTO_UDP, length))
    udp = struct.pack("!HHHH", PORT, PORT, length, pseudo)
    virtio = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, len(ethernet) + len(ip), UDP_CHECKSUM)
    return virtio + ethernet + ip + udp


def send(interface, mac, source, destination, size, rate, seconds, burst):
    size, rate, seconds, burst = int(size), float(rate), float(seconds), int(burst)
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind((interface, 0x86DD if ":" in destination else 0x0800))
    sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, QUEUE)
    sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    batch = Batch(burst, headers(mac, source, destination, size), size)
    try:
        # a tester is not kept waiting by what it tests
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    wanted = int(rate * seconds)
    done = refused = missed = 0
    start = time.monotonic()
    while done < wanted:
        due = min(wanted, int((time.monotonic() - start) * rate))
        if due - done > LATE:
            missed += due - done - LATE
            done = due - LATE
        count = min(burst, due - done)
        if count < min(burst, wanted - done):
            time.sleep(max(0.0, start + min(done + burst, wanted) / rate - time.monotonic()))
            continue
        batch.sequence[:count] = array("Q", range(done, done + count))
        sent = batch.send(sender, count)
        if not sent:
            refused, sent = refused + 1, 1  # the interface's queue is full: it is lost, like any other
        done += sent
    print(json.dumps({"wanted": wanted, "refused": refused, "missed": missed, "seconds": time.monotonic() - start}))


def receiver(address):
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    bound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE)
    return bound


def answer(value):
    print(value, flush=True)


def bad_checksums():
    """Datagrams that arrived damaged, which the kernel counts among those a socket dropped."""
    with open("/proc/net/snmp") as v4, open("/proc/net/snmp6") as v6:
        names, values = (line.split() for line in v4 if line.startswith("Udp:"))
        return int(values[names.index("InCsumErrors")]) + sum(
            int(line.split()[1]) for line in v6 if line.startswith("Udp6InCsumErrors"))


def count(address):
    """A filter drops every datagram at the socket, and the kernel counts them: nobody is woken, nothing is copied."""
    bound = receiver(address)
    drop = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0))  # BPF: return 0
    bound.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(drop)))
    bound.bind((address, PORT))
    answer("ready")
    for _ in sys.stdin:
        seen = struct.unpack_from("9I", bound.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
        answer(seen[SK_MEMINFO_DROPS] - bad_checksums())


def order(address):
    bound = receiver(address)
    bound.bind((address, PORT))
    batch = Batch(READ, b"", SEQUENCE)
    overtaken = expected = 0
    answer("ready")
    while True:
        while count := batch.receive(bound):
            numbers = batch.sequence[:count].tolist()
            if numbers != list(range(expected, expected + count)):
                for number in numbers:
                    overtaken += number < expected
                    expected = max(expected, number + 1)
            else:
                expected += count
        if select.select([sys.stdin], [], [], NAP)[0]:
            if not sys.stdin.readline():
                return
            answer(overtaken)


if __name__ == "__main__":
    {"send": send, "count": count, "order": order}[sys.argv[1]](*sys.argv[2:])
