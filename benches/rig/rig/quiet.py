"""Watches what else runs on this machine, and waits until it is little."""
import logging
import os
import time
from collections import namedtuple

TICKS = os.sysconf("SC_CLK_TCK")  # a second
_KERNEL_THREAD = 0x00200000

# times in ticks; children: those that were waited for
Process = namedtuple("Process", "parent own children start is_kernel")


def process(pid):
    """What the kernel counts for a process."""
    with open(f"/proc/{pid}/stat") as file:
        text = file.read()
    fields = text[text.rindex(")") + 2:].split()
    number = [0, *map(int, fields[1:20])]
    return Process(number[1], number[11] + number[12], number[13] + number[14], number[19],
                   bool(number[6] & _KERNEL_THREAD))


def cpu_seconds(pid):
    """The processor time that a process has used."""
    return process(pid).own / TICKS


def _processes():
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[int(name)] = process(name)
            except (OSError, ValueError):
                pass  # it ended
    return found


def _ours(processes):
    own = {os.getpid()}
    grew = True
    while grew:
        grew = False
        for pid, known in processes.items():
            if pid not in own and known.parent in own:
                own.add(pid)
                grew = True
    return own


def _ancestors(processes):
    found = set()
    pid = processes[os.getpid()].parent
    while pid in processes and pid not in found:
        found.add(pid)
        pid = processes[pid].parent
    return found


def _same(then, now):
    return then is not None and now is not None and then.start == now.start


def _machine():
    """Ticks of the whole machine: busy, and stolen by its host."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return user + nice + system + irq + softirq, steal


class Window:
    """What ran on this machine during a `with` block, and how much of it was not ours.

    `foreign` and `steal` are in cores, `busy` in seconds.
    """

    def __enter__(self):
        self._before, self._machine, self._start = _processes(), _machine(), time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self._start
        busy, steal = _machine()
        after = _processes()
        ours = _ours(after) | _ours(self._before)
        # an ancestor's children are ours: it is foreign in its own time alone
        ancestors = _ancestors(after)
        foreign = 0
        inherited = self._inherited(after)
        for pid, now in after.items():
            if pid in ours or now.is_kernel:
                continue
            then = self._before.get(pid)
            if not _same(then, now):
                then = Process(0, 0, 0, now.start, False)
            foreign += now.own - then.own
            if pid not in ancestors:
                foreign += max(0, now.children - then.children - inherited.get(pid, 0))
        self.foreign = foreign / TICKS / self.seconds
        self.busy = (busy - self._machine[0]) / TICKS
        self.steal = (steal - self._machine[1]) / TICKS / self.seconds
        return False

    def _inherited(self, after):
        """What processes that ended had used before this window: it goes to whoever waited for them."""
        inherited = {}
        for pid, then in self._before.items():
            if _same(then, after.get(pid)):
                continue
            heir = then.parent
            while heir in self._before and not _same(self._before[heir], after.get(heir)):
                heir = self._before[heir].parent
            inherited[heir] = inherited.get(heir, 0) + then.own + then.children
        return inherited

    def is_disturbed(self, limit):
        return self.foreign > limit or self.steal > limit

    def __str__(self):
        return f"others {self.foreign:.2f} cores, steal {self.steal:.2f}"


def wait_quiet(longest, limit):
    """Waits until others use less than `limit` cores for a second, at most `longest` seconds."""
    start = time.monotonic()
    told = False
    while True:
        with Window() as window:
            time.sleep(1)
        if not window.is_disturbed(limit):
            return
        if not told:
            logging.info("   waiting: %s, load %.2f", window, os.getloadavg()[0])
            told = True
        if time.monotonic() - start > longest:
            logging.info("   gave up waiting for a quiet machine")
            return
        time.sleep(2)
