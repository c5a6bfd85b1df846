"""ping through the tunnel, idle and under load."""
import re
import subprocess
import time

from .lab import IPERF_PORT
from .quiet import Window

COUNT = 1000


def ping_figures(key, text):
    """What a run of ping shows."""
    times = sorted(float(time) * 1e3 for time in re.findall(r"time=([\d.]+) ms", text))
    lost = re.search(r"([\d.]+)% packet loss", text)
    if not times:
        return {key + "_loss_pct": 100.0}

    def quantile(part):
        return times[min(len(times) - 1, int(len(times) * part))]

    return {key + "_p50_us": quantile(0.5), key + "_p99_us": quantile(0.99), key + "_max_us": times[-1],
            key + "_loss_pct": float(lost.group(1)) if lost else 0.0}


def ping(lab, key):
    command = ["ping", "-n", "-i", "0.001", "-c", str(COUNT), "-W", "1", "-s", "56", lab.address["B"]]
    with Window() as window:
        done = subprocess.run(lab.inside("A", command), capture_output=True, text=True, timeout=120)
    return ping_figures(key, done.stdout), window


def ping_loaded(lab, key):
    load = ["iperf3", "-c", lab.address["B"], "-p", IPERF_PORT, "-t", "6"]
    with Window() as window:
        child = lab.spawn("A", load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        figures, _ = ping(lab, key)
        child.wait(timeout=60)
    return figures, window
