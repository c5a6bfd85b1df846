"""What is measured: the project's own program and its rivals, as far as they are installed.

A command makes the TUN interface {ifname}, answers at /var/run/wireguard/{ifname}.sock, and stays in the foreground,
since its process is measured.
"""
import logging
import os
import re
import shlex
import shutil
import subprocess

from . import BUILT

PLAIN = "none"  # the veth pair without a tunnel: the ceiling of the rig
OURS = "swarm"
RIVAL = "gotatun"  # the one that ratios are taken to

_OWN = {OURS: (BUILT / "release/swarm", "wg -f {ifname}")}
_RIVALS = {
    "boringtun": ("boringtun-cli", "--disable-drop-privileges -f {ifname}"),
    RIVAL: ("gotatun", "--disable-drop-privileges -f {ifname}"),
    "wireguard-go": ("wireguard-go", "-f {ifname}"),
}
# measured only when somebody asks
_MORE = {"swarm-example": (BUILT / "release/examples/device", "{ifname}")}

# the others may take --version for the name of an interface
_TELL_VERSION = {OURS, *(program for program, _ in _RIVALS.values())}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def choose(only, additional):
    """The commands by name, and what is wrong with the choice."""
    known = {PLAIN: ""}
    absent = {}
    for name, (program, arguments) in (_OWN | _RIVALS | _MORE).items():
        path = shutil.which(str(program))
        if path:
            known[name] = f"{shlex.quote(path)} {arguments}"
        else:
            absent[name] = str(program)
    wrong = [f"--impl takes NAME=COMMAND, not {text}" for text in additional if "=" not in text]
    added = dict(text.split("=", 1) for text in additional if "=" in text)
    known |= added
    if only:
        names = only.split(",")
        wrong += [f"{name} is not installed: there is no {absent[name]}" if name in absent else f"{name} is not known"
                  for name in names if name not in known]
        return {name: known[name] for name in names if name in known}, wrong
    for name, program in absent.items():
        if name not in _MORE:
            logging.warning("not measured: %s, there is no %s", name, program)
    return {name: command for name, command in known.items() if name not in _MORE}, wrong


def split(command, **names):
    """A command's words, and the environment that stands in front of them."""
    words = shlex.split(command.format(**names))
    environment = {}
    while words and _ASSIGNMENT.match(words[0]):
        name, value = words.pop(0).split("=", 1)
        environment[name] = value
    return words, environment


def version(command):
    """The version that an implementation says it has, or nothing."""
    words, _ = split(command, ifname="", ns="", side="")
    if not words or os.path.basename(words[0]) not in _TELL_VERSION:
        return ""
    try:
        said = subprocess.run([words[0], "--version"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+", said)
    return found.group(0) if found else ""
