"""Tables of what was measured: everything, and what stands in README.md."""
from .implementations import OURS, PLAIN, RIVAL

FULL = [
    ("TCP 1 stream A>B, Mbit/s", "tcp1_mbps"),
    ("  retransmits", "tcp1_retrans"),
    ("TCP 4 streams, Mbit/s", "tcp4_mbps"),
    ("  retransmits", "tcp4_retrans"),
    ("TCP 1 stream B>A, Mbit/s", "tcp1r_mbps"),
    ("TCP both ways, sum Mbit/s", "tcpbi_mbps"),
    ("  of it A>B", "tcpbi_AB_mbps"),
    ("  of it B>A", "tcpbi_BA_mbps"),
    ("tunnel CPU s/GiB, 1 stream", "tcp1_tun_cpu_s_per_gib"),
    ("  sender (A)", "tcp1_cpuA_s_per_gib"),
    ("  receiver (B)", "tcp1_cpuB_s_per_gib"),
    ("machine CPU s/GiB, 1 stream", "tcp1_machine_cpu_s_per_gib"),
    ("tunnel CPU s/GiB, 4 streams", "tcp4_tun_cpu_s_per_gib"),
    ("tunnel CPU s/GiB at 300 Mbit/s", "tcp300_tun_cpu_s_per_gib"),
    ("machine CPU s/GiB at 300 Mbit/s", "tcp300_machine_cpu_s_per_gib"),
    ("UDP 64 B flood, received kpps", "udp64_recv_kpps"),
    ("  offered kpps", "udp64_sent_kpps"),
    ("  loss %", "udp64_loss_pct"),
    ("  tunnel CPU µs a packet", "udp64_tun_cpu_us_per_pkt"),
    ("UDP 1400 B flood, received Mbit/s", "udp1400_recv_mbps"),
    ("  received kpps", "udp1400_recv_kpps"),
    ("  loss %", "udp1400_loss_pct"),
    ("  tunnel CPU µs a packet", "udp1400_tun_cpu_us_per_pkt"),
    *(row for size, key in [("64 B", "udp64"), ("1400 B", "udp1400")]
      for row in [(f"UDP {size}, kpps at ≤ 0.5 % loss", f"{key}ndr_kpps"),
                  ("  the same, Mbit/s", f"{key}ndr_mbps"),
                  ("  loss %", f"{key}ndr_loss_pct"),
                  ("  overtaken", f"{key}ndr_overtaken"),
                  ("  tunnel CPU µs a packet", f"{key}ndr_tun_cpu_us_per_pkt"),
                  ("  sent and read by iperf3: kpps", f"{key}iperf_kpps"),
                  ("  sent and read by iperf3: Mbit/s", f"{key}iperf_mbps")]),
    ("ping idle p50, µs", "ping_idle_p50_us"),
    ("ping idle p99, µs", "ping_idle_p99_us"),
    ("ping under TCP load p50, µs", "ping_load_p50_us"),
    ("ping under TCP load p99, µs", "ping_load_p99_us"),
    ("  lost %", "ping_load_loss_pct"),
    ("no flood: stream received, Mbit/s", "flood_alone_mbps"),
    ("  ping p50, µs", "flood_alone_ping_p50_us"),
    ("  ping p99, µs", "flood_alone_ping_p99_us"),
    ("  CPU of B, cores", "flood_alone_cpuB_cores"),
    *(row for kind, what in [("closed", "to a closed port"), ("garbage", "of garbage"),
                             ("initiations", "of initiations"), ("replay", "of a replayed initiation")]
      for row in [(f"flood {what}: share of the stream received", f"flood_{kind}_share"),
                  ("  flood sent, kpps", f"flood_{kind}_sent_kpps"),
                  ("  ping p50, µs", f"flood_{kind}_ping_p50_us"),
                  ("  ping p99, µs", f"flood_{kind}_ping_p99_us"),
                  ("  ping lost %", f"flood_{kind}_ping_loss_pct"),
                  ("  CPU of B, cores", f"flood_{kind}_cpuB_cores")]),
    ("peak memory A, MiB", "peak_rss_A_mib"),
    ("peak memory B, MiB", "peak_rss_B_mib"),
]

README = [
    ("TCP 1 stream, Mbit/s", ["tcp1_mbps"]),
    ("TCP 4 streams, Mbit/s", ["tcp4_mbps"]),
    ("TCP 1 stream the other way, Mbit/s", ["tcp1r_mbps"]),
    ("TCP both ways, sum, Mbit/s", ["tcpbi_mbps"]),
    ("CPU of both tunnel processes, s/GiB", ["tcp1_tun_cpu_s_per_gib"]),
    ("CPU of both tunnel processes at 300 Mbit/s, s/GiB", ["tcp300_tun_cpu_s_per_gib"]),
    ("retransmits, 1 stream", ["tcp1_retrans"]),
    ("UDP 64 B at ≤ 0.5 % loss, kpps", ["udp64ndr_kpps"]),
    ("  CPU of both tunnel processes, µs a packet", ["udp64ndr_tun_cpu_us_per_pkt"]),
    ("  sent and read by iperf3, kpps", ["udp64iperf_kpps"]),
    ("UDP 64 B flood by iperf3, CPU µs a packet", ["udp64_tun_cpu_us_per_pkt"]),
    ("UDP 1400 B at ≤ 0.5 % loss, Mbit/s", ["udp1400ndr_mbps"]),
    ("  sent and read by iperf3, Mbit/s", ["udp1400iperf_mbps"]),
    ("ping idle p50 / p99, µs", ["ping_idle_p50_us", "ping_idle_p99_us"]),
    ("ping under full TCP load p50 / p99, µs", ["ping_load_p50_us", "ping_load_p99_us"]),
    ("peak memory, MiB", ["peak_rss_A_mib"]),
    *((f"stream's share left under a flood of {what}", [f"flood_{kind}_share"])
      for kind, what in [("garbage", "garbage"), ("initiations", "initiations"), ("replay", "replays")]),
    *((f"ping under a flood of {what} p50 / p99, µs", [f"flood_{kind}_ping_p50_us", f"flood_{kind}_ping_p99_us"])
      for kind, what in [("garbage", "garbage"), ("initiations", "initiations"), ("replay", "replays")]),
]


def number(value):
    value = float(value)
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def full(result):
    """Every figure: the median, with the least and the greatest."""
    results = result["results"]

    def cell(name, key):
        if key not in results[name]:
            return "–"
        found = results[name][key]
        spread = f" ({number(found['min'])}–{number(found['max'])})" if len(found["all"]) > 1 else ""
        return number(found["median"]) + spread

    rows = [[label] + [cell(name, key) for name in results] for label, key in FULL
            if any(key in measured for measured in results.values())]
    return markdown(["median (least–greatest)", *results], rows)


def for_readme(result):
    """The medians of the main figures, and ours as a multiple of the nearest rival's."""
    results = result["results"]
    versions = result["versions"]
    heading = ["", *("veth" if name == PLAIN else f"{name} {versions[name]}".strip() for name in results)]
    has_ratio = OURS in results and RIVAL in results
    if has_ratio:
        heading.append(f"{OURS} / {RIVAL}")

    def median(name, key):
        return results[name].get(key, {}).get("median")

    rows = []
    for label, keys in README:
        medians = {name: [median(name, key) for key in keys] for name in results}
        if not any(value is not None for values in medians.values() for value in values):
            continue
        row = [label, *(" / ".join("–" if value is None else number(value) for value in values)
                        for values in medians.values())]
        if has_ratio:
            row.append(" / ".join(f"{ours / rival:.2f}" if ours is not None and rival else "–"
                                  for ours, rival in zip(medians[OURS], medians[RIVAL])))
        rows.append(row)
    options = result["options"]
    about = (f"Medians over {options['rounds']} rounds, {options['secs']} s each, {result['cpus']} cores, "
             f"Linux {result['kernel'].split('-')[0]}, veth {options['veth']}, IPv{options['inner']} inside.")
    return f"{about}\n\n{markdown(heading, rows)}"


def markdown(heading, rows):
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines).replace("|  |", "| |", 1)
