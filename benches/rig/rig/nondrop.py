"""The highest rate of UDP datagrams that a tunnel passes: the throughput of RFC 2544, with a bound on loss."""
import json
import logging
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

from .lab import run
from .quiet import Window
from .traffic import LOSS, with_cpu

PROGRAM = str(Path(__file__).with_name("load.py"))
STEPS = 7
STEP_SECONDS = 0.6
CONFIRM_SECONDS = 1.5
# what a rate is multiplied by when longer trials lose more than the bound, and how many rates are tried
LOWER = 0.95
CONFIRMATIONS = 6
SETTLE = 0.1  # seconds until the last datagram has arrived, or is lost
HOPELESS = 50.0  # percent lost at which a rate fails at once

Trial = namedtuple("Trial", "arrived wanted seconds refused missed")


def loss(trial):
    """In percent of all that were to be sent: those that the interface refused and those sent too late count too."""
    return 100 * (1 - trial.arrived / trial.wanted)


def search(passes, low, high, steps=STEPS):
    """The highest rate known to pass between two bounds, by bisection of their ratio; 0 when none was seen to."""
    best = 0.0
    for _ in range(steps):
        middle = (low * high) ** 0.5
        if passes(middle):
            best = low = middle
        else:
            high = middle
    return best


class Tester:
    """Sends from A, counts at B."""

    def __init__(self, lab, size, receiver="count"):
        self._lab, self._size = lab, size
        self._receiver = lab.spawn("B", [sys.executable, PROGRAM, receiver, lab.address["B"]], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if not self._receiver.stdout.readline():
            raise RuntimeError("the receiver of datagrams did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._receiver.stdin.close()
        self._receiver.wait(timeout=5)
        self._receiver.stdout.close()

    def seen(self):
        self._receiver.stdin.write("\n")
        self._receiver.stdin.flush()
        return int(self._receiver.stdout.readline())

    def trial(self, rate, seconds):
        lab = self._lab
        interface, mac = (lab.tun["A"], "-") if lab.tunnels else (lab.veth["A"], _mac(lab, "B"))
        before = self.seen()
        sent = json.loads(run(lab.inside("A", [
            sys.executable, PROGRAM, "send", interface, mac, lab.address["A"], lab.address["B"], str(self._size),
            str(rate), str(seconds), str(lab.options.udp_burst)])))
        time.sleep(SETTLE)
        trial = Trial(self.seen() - before, **sent)
        logging.debug("      %.1f kpps: %s", rate / 1e3, trial)
        return trial


def nondrop(lab, key, size, low, high, secs):
    """Searches between two rates (thousands a second), then confirms by a longer trial what it found."""
    with Window() as window:
        with Tester(lab, size) as tester:
            def passes(rate):
                lost = loss(tester.trial(rate, STEP_SECONDS))
                # a rate fails only when it fails twice
                return lost <= LOSS or (lost < HOPELESS and loss(tester.trial(rate, STEP_SECONDS)) <= LOSS)

            rate = search(passes, low * 1e3, high * 1e3)
            rate = rate or low * 1e3
            for attempt in range(2 * CONFIRMATIONS):
                trial, cpu, _ = with_cpu(lab, lambda: tester.trial(rate, min(secs, CONFIRM_SECONDS)))
                if loss(trial) <= LOSS:
                    break
                rate *= LOWER if attempt % 2 else 1
        with Tester(lab, size, "order") as tester:
            overtaken = tester.trial(rate, STEP_SECONDS).arrived
    figures = {key + "_loss_pct": loss(trial), key + "_overtaken": overtaken}
    if loss(trial) <= LOSS:
        passed = trial.arrived / trial.seconds
        figures = {key + "_kpps": passed / 1e3, key + "_mbps": passed * size * 8 / 1e6} | figures
    if cpu and trial.arrived:
        figures[key + "_tun_cpu_us_per_pkt"] = sum(cpu.values()) / trial.arrived * 1e6
    return figures, window


def _mac(lab, side):
    return json.loads(lab.ip(side, "-j", "link", "show", "dev", lab.veth[side]))[0]["address"]
