"""What the rig needs of its machine."""
import os
import shutil

PACKAGES = {"ip": "iproute2", "ping": "iputils-ping", "sysctl": "procps", "iperf3": "iperf3", "wg": "wireguard-tools",
            "ethtool": "ethtool"}


def missing(veth):
    """What this machine lacks, each with a remedy."""
    lacking = [] if os.geteuid() == 0 else ["root: network namespaces are made"]
    if not os.path.exists("/dev/net/tun"):
        lacking.append("/dev/net/tun: the kernel's tun module")
    for program, package in PACKAGES.items():
        if not shutil.which(program) and (program != "ethtool" or veth != "native"):
            lacking.append(f"{program}: Debian's package {package}, or .ci/setup rig")
    return lacking
