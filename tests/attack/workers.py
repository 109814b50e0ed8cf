"""Worker processes of the target, as its supervisor's `run.json` names them: restarts, memory, metrics."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx

PROBE_S = 5.0


class Workers:
    """The workers of a state folder; where there is none on this machine, nothing is known of them."""

    def __init__(self, state: Path | None) -> None:
        self._file = None if state is None else state / "run.json"
        self._pids: dict[str, set[int]] = {}
        self.look()

    @property
    def known(self) -> bool:
        """Whether anything is known of them."""
        return bool(self._pids)

    @property
    def restarts(self) -> int:
        """Processes that followed another one since the first look."""
        return sum(len(pids) - 1 for pids in self._pids.values())

    def look(self) -> None:
        """Take note of the processes that there are."""
        for worker in self._told():
            if worker["pid"] is not None:
                self._pids.setdefault(worker["name"], set()).add(worker["pid"])

    def memory_mb(self) -> int | None:
        """Resident memory of all of them; None where it is not known."""
        pids = [str(worker["pid"]) for worker in self._told() if worker["pid"] is not None]
        if not pids:
            return None
        command = ["ps", "-o", "rss=", "-p", ",".join(pids)]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        return sum(map(int, shown.stdout.split())) // 1_024

    def memory_by_worker(self) -> dict[str, int]:
        """Resident memory of each of them, in MB."""
        names = {str(worker["pid"]): worker["name"] for worker in self._told() if worker["pid"] is not None}
        command = ["ps", "-o", "pid=,rss=", "-p", ",".join(names) or "0"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        pairs = [line.split() for line in shown.stdout.splitlines()]
        return {names[pid]: int(kb) // 1_024 for pid, kb in pairs}

    def metrics(self) -> dict[str, str]:
        """The metrics of each worker that answers, as they are served."""
        found = {}
        with httpx.Client(timeout=PROBE_S, trust_env=False) as probe:
            for worker in self._told():
                if worker["port"] is None:
                    continue
                try:
                    found[worker["name"]] = probe.get(f"http://127.0.0.1:{worker['port']}/metrics").text
                except httpx.HTTPError:
                    continue
        return found

    def _told(self) -> list[dict[str, Any]]:
        if self._file is None:
            return []
        try:
            workers: list[dict[str, Any]] = json.loads(self._file.read_text())["workers"]
        except (FileNotFoundError, ValueError):
            return []
        return workers
