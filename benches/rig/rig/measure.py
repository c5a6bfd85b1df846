"""The measurements by name. Each returns its figures by name, and the window in which they were taken."""
from collections import namedtuple

from .flood import flood
from .nondrop import nondrop
from .pings import ping, ping_loaded
from .traffic import FULL, tcp, udp, udp_no_loss

# default: whether it is measured without being named
Test = namedtuple("Test", "measure default", defaults=[True])

TESTS = {
    "ping_idle": Test(lambda lab, secs: ping(lab, "ping_idle")),
    "tcp1": Test(lambda lab, secs: tcp(lab, "tcp1", secs)),
    "tcp4": Test(lambda lab, secs: tcp(lab, "tcp4", secs, "-P", "4")),
    "tcp1r": Test(lambda lab, secs: tcp(lab, "tcp1r", secs, "-R")),
    "tcpbi": Test(lambda lab, secs: tcp(lab, "tcpbi", secs, "--bidir")),
    "tcp300": Test(lambda lab, secs: tcp(lab, "tcp300", min(secs, 5), "-b", "300M")),
    "ping_load": Test(lambda lab, secs: ping_loaded(lab, "ping_load")),
    "udp64": Test(lambda lab, secs: udp(lab, "udp64", min(secs, 5), 64)),
    "udp1400": Test(lambda lab, secs: udp(lab, "udp1400", min(secs, 5), FULL)),
    "udp64ndr": Test(lambda lab, secs: nondrop(lab, "udp64ndr", 64, 20, 1000, secs)),
    "udp1400ndr": Test(lambda lab, secs: nondrop(lab, "udp1400ndr", FULL, 10, 600, secs)),
    "udp64iperf": Test(lambda lab, secs: udp_no_loss(lab, "udp64iperf", 64, 2, 300)),
    "udp1400iperf": Test(lambda lab, secs: udp_no_loss(lab, "udp1400iperf", FULL, 50, 6000)),
    "flood": Test(flood, default=False),
}
