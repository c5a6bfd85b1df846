"""The tunnel rig: implementations of WireGuard beside each other on one machine."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
# pid files, logs and results
OUT = Path(os.environ.get("RIG_OUT", BUILT / "rig")).absolute()

# where programs may be besides PATH
_MORE = [ROOT / ".tools/bin", Path.home() / ".cargo/bin", "/usr/sbin", "/sbin"]
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *map(str, _MORE)])
