"""What something costs: processor time of processes, and of the whole machine."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

Shares = dict[str, float]


class Meter:
    """Started when made; `read` gives the share of a core that each process has taken since, we ourselves as `load`, and all `others`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = {**pids, "load": os.getpid()}
        self._began, self._busy, self._before = time.perf_counter(), busy(), self._now()

    def read(self) -> Shares:
        """Return the shares."""
        took = time.perf_counter() - self._began
        shares = {name: (seconds - self._before[name]) / took for name, seconds in self._now().items()}
        shares["others"] = (busy() - self._busy) / took - sum(shares.values())
        return {f"{name}_cpu": round(share, 2) for name, share in shares.items()}

    def _now(self) -> Shares:
        return {name: used(pid) for name, pid in self._pids.items()}


def used(pid: int) -> float:
    """Processor seconds of a process and of its children, living and dead; none of one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS + sum(used(int(child)) for child in children)


def busy() -> float:
    """Processor seconds that this machine has used since it started, all cores and all programs."""
    fields = [int(value) for value in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
