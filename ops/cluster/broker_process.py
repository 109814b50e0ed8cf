"""The broker's process, where it runs on this machine."""

from __future__ import annotations

import psutil

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def broker_process(bootstrap: str) -> psutil.Process | None:
    """The process that listens at the first address, None where that is another machine's or may not be seen."""
    host, _, port = bootstrap.split(",")[0].rpartition(":")
    if host not in LOOPBACK or not port.isdecimal():
        return None
    try:
        listening = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    pids = (each.pid for each in listening if each.status == psutil.CONN_LISTEN and each.laddr[1:] == (int(port),))
    pid = next(pids, None)
    return None if pid is None else psutil.Process(pid)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds that a process has used so far."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)
