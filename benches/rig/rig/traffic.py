"""iperf3 through the tunnel: TCP, and UDP flooding and without loss."""
import json
import subprocess
import time

from .lab import IPERF_PORT
from .quiet import Window, cpu_seconds

GIB = float(1 << 30)
# the UDP payload that fills a packet of 1420 bytes, with an IPv6 header inside too
FULL = 1372
LOSS = 0.5  # percent that a no-loss rate may lose


def iperf(lab, arguments, secs):
    """Runs an iperf3 client in A, and returns the end of its report."""
    command = lab.inside("A", ["iperf3", "-c", lab.address["B"], "-p", IPERF_PORT, "-J", "-t", str(secs), *arguments])
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, timeout=secs + 30)
        try:
            report = json.loads(done.stdout)
        except ValueError:
            report = {"error": done.stdout[-200:] + done.stderr[-200:]}
        if "error" not in report:
            return report["end"]
        time.sleep(1)
    raise RuntimeError(f"iperf3: {report['error']}")


def with_cpu(lab, work):
    """Runs some work; returns its result, the processor seconds of each side's tunnel, and the window."""
    before = {side: cpu_seconds(pid) for side, pid in lab.tunnels.items()}
    with Window() as window:
        result = work()
    return result, {side: cpu_seconds(pid) - before[side] for side, pid in lab.tunnels.items()}, window


def tcp(lab, key, secs, *arguments):
    end, cpu, window = with_cpu(lab, lambda: iperf(lab, arguments, secs))
    received = [end["sum_received"]]
    sent = [end["sum_sent"]]
    figures = {}
    if "--bidir" in arguments:
        received.append(end["sum_received_bidir_reverse"])
        sent.append(end["sum_sent_bidir_reverse"])
        figures[key + "_AB_mbps"], figures[key + "_BA_mbps"] = (one["bits_per_second"] / 1e6 for one in received)
    figures = {key + "_mbps": sum(one["bits_per_second"] for one in received) / 1e6} | figures
    gib = sum(one["bytes"] for one in received) / GIB
    if cpu:
        figures[key + "_tun_cpu_s_per_gib"] = sum(cpu.values()) / gib
        figures[key + "_cpuA_s_per_gib"] = cpu["A"] / gib
        figures[key + "_cpuB_s_per_gib"] = cpu["B"] / gib
    figures[key + "_machine_cpu_s_per_gib"] = window.busy / gib
    figures[key + "_retrans"] = sum(one.get("retransmits", 0) for one in sent)
    return figures, window


def udp(lab, key, secs, size):
    """Sends as fast as iperf3 can, whatever is lost."""
    end, cpu, window = with_cpu(lab, lambda: iperf(lab, ["-u", "-w", "2M", "-l", str(size), "-b", "0"], secs))
    total = end["sum"]
    seconds = total["seconds"]
    got = total["packets"] - total["lost_packets"]
    figures = {
        key + "_recv_kpps": got / seconds / 1e3,
        key + "_sent_kpps": total["packets"] / seconds / 1e3,
        key + "_recv_mbps": got * size * 8 / seconds / 1e6,
        key + "_loss_pct": total["lost_percent"],
    }
    if cpu and got:
        figures[key + "_tun_cpu_us_per_pkt"] = sum(cpu.values()) / got * 1e6
    return figures, window


def udp_no_loss(lab, key, size, low, high):
    """The highest rate (payload, Mbit/s) that iperf3 offers and reads with next to no loss, by bisection."""
    best = 0.0

    def holds(rate):
        nonlocal best
        total = iperf(lab, ["-u", "-w", "2M", "-l", str(size), "-b", f"{rate:.1f}M"], 1)["sum"]
        offered = total["packets"] * size * 8 / total["seconds"] / 1e6
        if total["lost_percent"] > LOSS or offered <= 0.9 * rate:
            return False
        best = max(best, (total["packets"] - total["lost_packets"]) / total["seconds"])
        return True

    with Window() as window:
        for _ in range(6):
            middle = (low * high) ** 0.5
            if holds(middle) or holds(middle):  # a rate fails only when it fails twice
                low = middle
            else:
                high = middle
    return {key + "_kpps": best / 1e3, key + "_mbps": best * size * 8 / 1e6}, window
