"""What is left of a tunnel while a stranger floods its port: a UDP stream and pings go through it meanwhile."""
import json
import subprocess
import sys
import time
from pathlib import Path

from .lab import run
from .pings import ping_figures
from .quiet import Window, cpu_seconds

RATE = "200M"
PORT = "5212"
SENDER = str(Path(__file__).with_name("stranger.py"))
# `closed` goes to a port where nobody listens: what the flood costs the machine, whoever is flooded
KINDS = ["closed", "garbage", "initiations", "replay"]
SOURCES = range(100, 200)  # the last byte of A's further addresses
LEAD = 0.5  # seconds from the start of the flood to that of the measurement


def flood(lab, secs):
    if not lab.tunnels:
        return {}, None
    for last in SOURCES:
        lab.ip("A", "addr", "add", f"192.168.177.{last}/24", "dev", lab.veth["A"])
    shares, figures = {}, {}
    with Window() as window:
        alone = _stream(lab, "flood_alone", secs, None)
        for kind in KINDS:
            arguments = _arguments(lab, kind, secs)
            seen = _stream(lab, f"flood_{kind}", secs, arguments)
            shares[f"flood_{kind}_share"] = seen[f"flood_{kind}_mbps"] / alone["flood_alone_mbps"]
            figures |= seen
    return shares | alone | figures, window


def _arguments(lab, kind, secs):
    port = 9 if kind == "closed" else lab.port["B"]
    arguments = [kind, lab.outer["B"], str(port), str(secs + LEAD), str(lab.options.flood_kpps)]
    if kind == "initiations":
        arguments += [lab.public["B"], *(f"192.168.177.{last}" for last in SOURCES)]
    if kind == "replay":
        arguments += [_handshake(lab)]
    return arguments


def _handshake(lab):
    """A handshake initiation of A to B, in hexadecimal, as it crossed the veth pair."""
    child = lab.spawn("A", [sys.executable, SENDER, "capture", lab.veth["A"], str(lab.port["B"]), "10"],
                      stdout=subprocess.PIPE, text=True)
    child.stdout.readline()  # it listens
    lab.part("A")
    lab.meet("A")
    if not lab.reaches():
        raise RuntimeError("no ping after a new handshake")
    packet, _ = child.communicate(timeout=15)
    if not packet.strip():
        raise RuntimeError("no handshake initiation seen")
    return packet.strip()


def _stream(lab, key, secs, stranger):
    """Measures the stream and the pings for `secs`, with a stranger's flood or without."""
    server = lab.spawn("B", ["iperf3", "-s", "-1", "-p", PORT], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    flooder = None
    if stranger:
        flooder = lab.spawn("A", [sys.executable, SENDER, *stranger], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        flooder.stdout.readline()  # its messages are made
    time.sleep(0.3)
    # it lasts longer than it is measured, so that nothing of its end is in the figures
    client = lab.spawn("A", ["iperf3", "-c", lab.address["B"], "-p", PORT, "-u", "-b", RATE, "-l", "1372", "-w", "2M",
                             "-t", str(secs + 2)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    if flooder:
        flooder.stdin.write("go\n")
        flooder.stdin.flush()
    time.sleep(LEAD)
    ping = lab.spawn("A", ["ping", "-n", "-i", "0.005", "-c", str(secs * 200), "-W", "1", lab.address["B"]],
                     stdout=subprocess.PIPE, text=True)
    start, before, cpu = time.monotonic(), _received(lab), cpu_seconds(lab.tunnels["B"])
    time.sleep(secs)
    seconds = time.monotonic() - start
    figures = {key + "_mbps": (_received(lab) - before) * 8 / seconds / 1e6,
               key + "_cpuB_cores": (cpu_seconds(lab.tunnels["B"]) - cpu) / seconds}
    if flooder:
        sent = json.loads(flooder.communicate(timeout=30)[0])
        figures[key + "_sent_kpps"] = sent["messages"] / sent["seconds"] / 1e3
    figures |= ping_figures(key + "_ping", ping.communicate(timeout=60)[0])
    for child in (client, server):
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
    return figures


def _received(lab):
    """Bytes that the tunnel of B has delivered to its machine."""
    link = json.loads(run(["ip", "-n", lab.namespace["B"], "-s", "-j", "link", "show", "dev", lab.tun["B"]]))
    return link[0]["stats64"]["rx"]["bytes"]
