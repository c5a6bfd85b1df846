"""Rounds: every implementation in turn, every measurement repeated that was disturbed."""
import json
import logging
import os
import statistics
import time

from .implementations import version
from .measure import TESTS
from .quiet import wait_quiet

_FIGURES_TOLD = 5


class Record:
    """Everything that was measured so far, written down after every implementation."""

    def __init__(self, implementations, options):
        self.about = {
            "when": time.strftime("%F %T"), "kernel": os.uname().release, "cpus": os.cpu_count(),
            "options": vars(options), "implementations": implementations,
            "versions": {name: version(command) for name, command in implementations.items()},
        }
        self.notes = []
        self._values = {name: {} for name in implementations}
        self._file = options.json

    def add(self, name, figures):
        for key, value in figures.items():
            self._values[name].setdefault(key, []).append(round(value, 4))

    def result(self):
        results = {
            name: {key: {"median": statistics.median(values), "min": min(values), "max": max(values), "all": values}
                   for key, values in measured.items()}
            for name, measured in self._values.items()
        }
        return self.about | {"notes": self.notes, "results": results}

    def save(self):
        with open(self._file, "w") as file:
            json.dump(self.result(), file, indent=1)


def run_rounds(lab, implementations, tests, options):
    """Measures until the rounds, the budget or somebody's patience is over; returns all results."""
    record = Record(implementations, options)
    start = time.monotonic()
    try:
        for number in range(1, options.rounds + 1):
            if options.budget and time.monotonic() - start > options.budget:
                record.notes.append(f"stopped before round {number}: time budget")
                break
            for name, command in implementations.items():
                logging.info("round %d %s", number, name)
                _measure_all(lab, record, f"round {number}", name, command, tests, options)
                record.save()
    except (SystemExit, KeyboardInterrupt):
        record.notes.append(f"ended early, in round {number} {name}")
        record.save()
    return record.result()


def _measure_all(lab, record, when, name, command, tests, options):
    try:
        wait_quiet(options.wait, options.foreign_max)
        lab.up(command)
        for test in tests:
            figures, note = _measure(lab, test, options)
            if note:
                record.notes.append(f"{when} {name} {test}: {note}")
            record.add(name, figures)
        for side, pid in lab.tunnels.items():
            record.add(name, {f"peak_rss_{side}_mib": peak_memory(pid)})
    except Exception as error:  # the others are measured all the same
        logging.error("   FAILED %s: %s", name, error)
        record.notes.append(f"{when} {name}: {error}")
    finally:
        lab.down()


def _measure(lab, test, options):
    for _ in range(options.retries + 1):
        wait_quiet(options.wait, options.foreign_max)
        figures, window = TESTS[test].measure(lab, options.secs)
        if not window or not window.is_disturbed(options.foreign_max):
            break
        logging.info("   %s: disturbed (%s), again", test, window)
    told = [f"{key.removeprefix(test + '_')}={value:.4g}" for key, value in list(figures.items())[:_FIGURES_TOLD]]
    logging.info("   %-10s %s  [%s]", test, " ".join(told), window)
    disturbed = window and window.is_disturbed(options.foreign_max)
    return figures, f"kept although disturbed ({window})" if disturbed else None


def peak_memory(pid):
    """The most memory that a process has held, in MiB."""
    with open(f"/proc/{pid}/status") as file:
        kib = next(line.split()[1] for line in file if line.startswith("VmHWM:"))
    return int(kib) / 1024
