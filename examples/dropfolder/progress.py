"""What `make run` prints while the daemon works."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

TASKS = ("archive", "index", "announce", "report", "tidy")
EVERY = 2.0  # seconds between lines


class Progress:
    """Counts the daemon's events, and prints a line now and then while there is news."""

    def __init__(self, files: int) -> None:
        self._files = files
        self._completed: Counter[str] = Counter()  # by task
        self._retries = 0
        self._ready_at = 0.0
        self._printed_at = 0.0
        self._all_seen = self._all_done = False

    def note(self, event: dict[str, Any]) -> None:
        """Take notice of one line of the daemon's log."""
        task = event.get("task", "").removeprefix("dropfolder.tasks.")
        match event["event"]:
            case "daemon.ready":
                self._ready_at = time.monotonic()
            case "job.completed":
                self._completed[task] += 1
                self._tell()
            case "job.retrying":
                self._retries += 1
            case "job.failed" | "job.quarantined":
                print(f"{task} failed: {event.get('error')}", flush=True)
            case "daemon.draining":
                print(f"draining, {event.get('running', 0)} jobs run", flush=True)
            case "daemon.failed" | "daemon.degraded" | "queue.crashed" | "scanner.crashed":
                print(f"{event['event']}: {event.get('error')}", flush=True)

    def _tell(self) -> None:
        passed = time.monotonic() - self._ready_at
        if time.monotonic() - self._printed_at >= EVERY:
            self._printed_at = time.monotonic()
            counts = "  ".join(f"{task} {self._completed[task]}" for task in TASKS)
            print(f"{passed:5.1f} s  {counts}  ({self._retries} attempts failed)", flush=True)
        if not self._all_seen and all(self._completed[task] for task in TASKS):
            self._all_seen = True
            print(f"{passed:5.1f} s  each task has completed jobs", flush=True)
        fed = ("archive", "index", "announce")
        if not self._all_done and all(self._completed[task] >= self._files for task in fed):
            self._all_done = True
            print(
                f"{passed:5.1f} s  all {self._files} files are archived, indexed and announced,"
                f" after {self._retries} attempts that failed",
                flush=True,
            )
