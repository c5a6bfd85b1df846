"""Measures userspace WireGuard implementations side by side: `python3 benches/rig`; see README.md."""
import argparse
import json
import logging
import signal
import sys
import time

from rig import OUT, implementations, table
from rig.lab import Lab
from rig.measure import TESTS
from rig.needs import missing
from rig.rounds import run_rounds


def arguments():
    parser = argparse.ArgumentParser(prog="rig", description=__doc__, epilog="Tests: " + ", ".join(
        name + ("" if test.default else " (only by --tests)") for name, test in TESTS.items()))
    what = parser.add_argument_group("what is measured")
    what.add_argument("--impl", action="append", default=[], metavar="NAME=COMMAND",
                      help="one more implementation; {ifname}, {ns} and {side} are filled in, words VAR=x in front are "
                           "environment; it must stay in the foreground")
    what.add_argument("--only", metavar="NAMES", help="implementations, with commas between them")
    what.add_argument("--tests", metavar="NAMES", help="tests, with commas between them")
    what.add_argument("--rounds", type=int, default=3)
    what.add_argument("--secs", type=int, default=8, help="length of a measurement")
    what.add_argument("--flood-kpps", type=float, default=0, metavar="RATE",
                      help="of a flood, in thousands of messages a second; 0: as many as one process can send")
    what.add_argument("--udp-burst", type=int, default=32, metavar="COUNT",
                      help="datagrams that udp64ndr and udp1400ndr send back to back")
    lab = parser.add_argument_group("where")
    lab.add_argument("--veth", choices=["native", "wire", "nogro"], default="native",
                     help="native: a UDP GSO packet crosses whole; wire: it is cut before it crosses, and joined by "
                          "the receiver's GRO; nogro: cut, and not joined")
    lab.add_argument("--inner", type=int, choices=[4, 6], default=4, help="IP version inside the tunnel")
    lab.add_argument("--cc", default="cubic", help="TCP congestion control")
    lab.add_argument("--prefix", default="rig", help="of the names of namespaces and interfaces")
    quiet = parser.add_argument_group("disturbances")
    quiet.add_argument("--foreign-max", type=float, default=0.12, metavar="CORES",
                       help="a measurement is repeated when other programs use more than this")
    quiet.add_argument("--wait", type=int, default=600, metavar="SECONDS", help="longest wait for a quiet machine")
    quiet.add_argument("--retries", type=int, default=3)
    quiet.add_argument("--budget", type=int, default=0, metavar="SECONDS", help="no new round after this")
    shown = parser.add_argument_group("what comes of it")
    shown.add_argument("--json", default=str(OUT / "rig.json"), metavar="FILE")
    shown.add_argument("--readme", action="store_true", help="print the table that stands in README.md")
    shown.add_argument("--from", dest="source", metavar="FILE", help="measure nothing, print the results of this file")
    shown.add_argument("--hold", metavar="NAME", help="bring this one up, print its processes, and leave after --secs")
    return parser, parser.parse_args()


def main():
    parser, options = arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.source:
        with open(options.source) as file:
            return show(json.load(file), options)
    chosen, unknown = implementations.choose(options.hold or options.only, options.impl)
    names = options.tests.split(",") if options.tests else [n for n, test in TESTS.items() if test.default]
    unknown += [f"no test is called {name}" for name in names if name not in TESTS]
    if unknown:
        parser.error("; ".join(unknown))
    if lacking := missing(options.veth):
        sys.exit("rig: this machine lacks:\n" + "\n".join(f"  - {what}" for what in lacking))
    OUT.mkdir(parents=True, exist_ok=True)
    lab = Lab(options)
    if not lab.claim():
        sys.exit(f"rig: another one runs with these names; wait for it, or give another --prefix than {options.prefix}")
    if options.hold:
        return hold(lab, chosen[options.hold], options.secs)
    result = run_rounds(lab, chosen, names, options)
    show(result, options)
    print("json:", options.json)


def hold(lab, command, secs):
    try:
        lab.up(command)
        print(json.dumps({"pids": lab.tunnels, "ns": lab.namespace, "addr": lab.address, "tun": lab.tun}), flush=True)
        time.sleep(secs)
    finally:
        lab.down()


def show(result, options):
    print(table.for_readme(result) if options.readme else table.full(result))
    for note in result["notes"]:
        print("note:", note)


if __name__ == "__main__":
    main()
