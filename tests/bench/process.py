"""Reading a process from outside: CPU time over all its threads, resident memory. Linux only (/proc)."""

from __future__ import annotations

from pathlib import Path


def cpu_us(pids: list[int]) -> float:
    """CPU microseconds used so far by the processes, from the scheduler's nanosecond counters."""
    total_ns = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                total_ns += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                continue
    return total_ns / 1000.0


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"no VmRSS for process {pid}")


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
