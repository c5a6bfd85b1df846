"""Two network namespaces, A and B, joined by a veth pair, and the processes in them."""
import fcntl
import logging
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

from . import OUT
from .implementations import split
from .quiet import process

SOCKETS = Path("/var/run/wireguard")
IPERF_PORT = "5211"
OTHER = {"A": "B", "B": "A"}


def run(words, check=True, text=None):
    """Runs a command to its end; returns what it printed."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
    if check and done.returncode:
        raise RuntimeError(f"{shlex.join(words)} -> {done.returncode}: {done.stderr.strip()} {done.stdout.strip()}")
    return done.stdout


class Lab:
    """One implementation on both sides at a time, or none."""

    def __init__(self, options):
        self.options = options
        prefix = options.prefix
        self.namespace = {side: f"{prefix}ns{side}" for side in "AB"}
        self.veth = {side: f"{prefix}v{side}" for side in "AB"}
        self.tun = {side: prefix + side for side in "AB"}
        self.outer = {"A": "192.168.177.1", "B": "192.168.177.2"}
        self.port = {"A": 51821, "B": 51822}
        self.address = {}  # what measurements go to
        self.tunnels = {}  # the implementation's process ids
        self.public = {}
        self._private = {}
        self._processes = []
        self._pids = OUT / f".rig.{prefix}.pids"

    def claim(self):
        """Whether these names are this rig's alone, until it ends."""
        self._claim = open(f"/run/rig.{self.options.prefix}.lock", "w")
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def inside(self, side, words):
        return ["ip", "netns", "exec", self.namespace[side], *words]

    def ip(self, side, *words, check=True):
        return run(["ip", "-n", self.namespace[side], *map(str, words)], check)

    def spawn(self, side, words, **streams):
        """Starts a process that ends with the laboratory at the latest."""
        child = subprocess.Popen(self.inside(side, words), start_new_session=True, **streams)
        self._processes.append(child)
        with open(self._pids, "a") as file:
            file.write(f"{child.pid} {process(child.pid).start}\n")
        return child

    def up(self, command):
        """Brings an implementation up on both sides; with an empty command the veth pair alone."""
        self._clear_leftovers()
        self._join()
        if command:
            self._start(command)
        else:
            self._go_plain()
        if not self.reaches():
            raise RuntimeError("no ping from A to B")
        self.spawn("B", ["iperf3", "-s", "-p", IPERF_PORT], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)

    def reaches(self):
        """Whether A reaches B, with patience for a handshake."""
        ping = self.inside("A", ["ping", "-c1", "-W1", self.address["B"]])
        return any(subprocess.run(ping, capture_output=True).returncode == 0 for _ in range(20))

    def meet(self, side):
        """Tells a side's tunnel of the other."""
        other = OTHER[side]
        allowed = f"{self._inner(other)}/{128 if self.options.inner == 6 else 32}"
        run(self.inside(side, [
            "wg", "set", self.tun[side], "private-key", "/dev/stdin", "listen-port", str(self.port[side]),
            "peer", self.public[other], "allowed-ips", allowed, "endpoint", f"{self.outer[other]}:{self.port[other]}",
        ]), text=self._private[side])

    def part(self, side):
        """Has a side's tunnel forget the other."""
        run(self.inside(side, ["wg", "set", self.tun[side], "peer", self.public[OTHER[side]], "remove"]))

    def down(self):
        """Ends every process, and takes the namespaces away."""
        for child in reversed(self._processes):
            if child.poll() is None:
                child.terminate()
        start = time.monotonic()
        for child in self._processes:
            try:
                child.wait(max(0.1, 3 - (time.monotonic() - start)))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._processes, self.tunnels = [], {}
        self._pids.unlink(missing_ok=True)
        self._remove_namespaces()

    def _inner(self, side):
        return ("fd77::" if self.options.inner == 6 else "10.77.0.") + str("AB".index(side) + 1)

    def _add_inner(self, side, interface):
        self.address[side] = self._inner(side)
        prefix = ["/64", "nodad"] if self.options.inner == 6 else ["/24"]
        self.ip(side, "addr", "add", self._inner(side) + prefix[0], *prefix[1:], "dev", interface)

    def _join(self):
        a, b = self.namespace["A"], self.namespace["B"]
        for side in "AB":
            run(["ip", "netns", "add", self.namespace[side]])
            self.ip(side, "link", "set", "lo", "up")
            run(self.inside(side, [
                "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={self.options.cc}",
                "net.ipv4.ping_group_range=0 0", f"net.ipv6.conf.all.disable_ipv6={int(self.options.inner == 4)}",
            ]), check=False)
        run(["ip", "link", "add", self.veth["A"], "netns", a, "mtu", "1500", "type", "veth",
             "peer", "name", self.veth["B"], "netns", b, "mtu", "1500"])
        for side in "AB":
            self.ip(side, "addr", "add", self.outer[side] + "/24", "dev", self.veth[side])
            self.ip(side, "link", "set", self.veth[side], "mtu", "1500", "up")
            # tso off is needed for gro on: veth takes the path with GRO only when the sender has no TSO
            # (the kernel's veth_skb_is_eligible_for_napi)
            cut = {"native": "", "wire": "tx-udp-segmentation off tso off gro on", "nogro": "tx-udp-segmentation off"}
            if features := cut[self.options.veth].split():
                run(self.inside(side, ["ethtool", "-K", self.veth[side], *features]))

    def _go_plain(self):
        self.address = dict(self.outer)
        if self.options.inner == 6:
            for side in "AB":
                self._add_inner(side, self.veth[side])

    def _start(self, command):
        for side in "AB":
            self._private[side] = run(["wg", "genkey"]).strip()
            self.public[side] = run(["wg", "pubkey"], text=self._private[side]).strip()
            self._launch(side, command)
        for side in "AB":
            self.meet(side)
            self._add_inner(side, self.tun[side])
            self.ip(side, "link", "set", self.tun[side], "mtu", "1420", "up")

    def _launch(self, side, command):
        words, environment = split(command, ifname=self.tun[side], ns=self.namespace[side], side=side)
        log = OUT / f"impl-{side}.log"
        with open(log, "w") as file:
            child = self.spawn(side, words, stdout=file, stderr=file, stdin=subprocess.DEVNULL,
                               env=os.environ | environment)
        self.tunnels[side] = child.pid
        for _ in range(100):
            has_socket = (SOCKETS / f"{self.tun[side]}.sock").exists()
            if has_socket and self.ip(side, "link", "show", self.tun[side], check=False):
                return
            if child.poll() is not None:
                raise RuntimeError(f"{shlex.join(words)} ended with {child.returncode}: {log.read_text()[-500:]}")
            time.sleep(0.05)
        raise RuntimeError(f"{shlex.join(words)}: no socket or interface within 5 s")

    def _clear_leftovers(self):
        """Ends what a rig that crashed left: by process id, and only where the start time agrees."""
        if self._pids.exists():
            for line in self._pids.read_text().splitlines():
                pid, start = map(int, line.split())
                try:
                    if process(pid).start == start:
                        os.kill(pid, signal.SIGKILL)
                        logging.info("ended process %d of an earlier run", pid)
                except (OSError, ValueError):
                    pass  # it ended by itself
            self._pids.unlink()
        self._remove_namespaces()

    def _remove_namespaces(self):
        for side in "AB":
            if os.path.exists(f"/run/netns/{self.namespace[side]}"):
                run(["ip", "netns", "del", self.namespace[side]], check=False)
            (SOCKETS / f"{self.tun[side]}.sock").unlink(missing_ok=True)
