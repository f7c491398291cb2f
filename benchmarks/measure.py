"""One measurement of one peer: real processes, watched from outside.

The rule for a drain is the same for every peer: from the start of the first job, as the worker
notes it, until all jobs have run and the store says that none is left, as this process sees it.
The store is not asked before all have run, so that asking costs nobody anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from peers import Peer
from processes import LOOK, MeasurementFailed, Programs, Worker
from programs.marks import QUEUE, QUEUES
from stores import Store
from work import Work

REST = 0.5  # seconds for a worker to become idle
IDLE = 2.0  # seconds for which an idle worker is watched
WARM_UP = 20  # samples that do not count
BACKLOG_SPAN = 2.0  # seconds of draining a backlog that is too long to drain

Values = dict[str, float]


class Bench:
    """One peer and one piece of work, on an empty store."""

    def __init__(self, peer: Peer, work: Work, count: int, programs: Programs, store: Store):
        self.peer = peer
        self.work = work
        self.count = count
        self._programs = programs
        self._store = store
        self._looks = peer.looks(QUEUES if work.jobs == "queues" else [QUEUE])

    def measure(self) -> Values:
        """The values of this piece of work. Raises MeasurementFailed."""
        if self.peer.store == "none":
            seconds = self._programs.run(self.peer.program, str(self.count))["seconds"]
            return {"rate": self.count / seconds}
        kinds: dict[str, Callable[[], Values]] = {
            "enqueue": self._enqueue,
            "drain": self._drain,
            "due": self._due,
            "latency": self._latency,
            "delayed": self._delayed,
            "backlog": self._backlog,
            "claims": lambda: self._programs.run("run_claims.py", str(self.count)),
        }
        return kinds[self.work.kind]()

    # ------------------------------------------------------------------ kinds of work

    def _enqueue(self) -> Values:
        before = self._store.counters()
        took = self._programs.produce(self.work.jobs, str(self.count))
        used = self._used(before, self.count)
        return {"rate": self.count / took["seconds"], "cpu_us": _us(took, self.count)} | used

    def _drain(self) -> Values:
        values = self._fill()
        if self.work.jobs == "flaky":
            (self._programs.place / "failed").write_bytes(bytes(self.count))
        before = self._store.counters()
        with self._programs.worker() as worker:
            started = worker.started()
            cpu = worker.cpu()
            values |= self._until_done(worker, self.count * self.work.runs)
            took = time.monotonic() - started
            values["cpu_us"] = (worker.cpu() - cpu) / self.count * 1e6
            values |= self._worker_memory(worker) | self._used(before, self.count, values["looks"])
        return values | {"rate": self.count / took}

    def _due(self) -> Values:
        with self._programs.worker() as worker:
            self._wake(worker)
            before, cpu = self._store.counters(), worker.cpu()
            due = self._programs.produce("due", str(self.count))["due"] / 1e9
            values = self._until_done(worker, self.count + 1)
            took = time.monotonic() - due
            values["cpu_us"] = (worker.cpu() - cpu) / self.count * 1e6
            values |= self._worker_memory(worker) | self._used(before, self.count, values["looks"])
        return values | {"rate": self.count / took}

    def _latency(self) -> Values:
        wanted = self.count + WARM_UP
        with self._programs.worker() as worker:
            self._wake(worker)
            time.sleep(REST)
            self._programs.produce("paced", str(wanted))
            samples = sorted(worker.samples(wanted)[WARM_UP:])
            return _spread(samples) | self._idle(worker)

    def _delayed(self) -> Values:
        with self._programs.worker() as worker:
            self._wake(worker)
            self._programs.produce("delayed", str(self.count))
            return _spread(sorted(worker.samples(self.count)))

    def _backlog(self) -> Values:
        values = self._fill()
        before = self._store.counters()
        with self._programs.worker() as worker:
            started = worker.started()
            cpu = worker.cpu()
            runs = worker.until_runs(self.count, started + BACKLOG_SPAN)
            took = time.monotonic() - started
            values["cpu_us"] = (worker.cpu() - cpu) / runs * 1e6
            values |= self._worker_memory(worker) | self._used(before, runs)
        return values | {"rate": runs / took}

    # ------------------------------------------------------------------ steps of them

    def _fill(self) -> Values:
        """Enqueue the jobs; what the store takes for each, and how fast it went."""
        empty = self._store.stored()
        took = self._programs.produce("fill", self.work.jobs, str(self.count))
        streams = any(look[0].startswith("XINFO") for look in self._looks)
        if not streams and self._store.left(self._looks) != self.count:  # a stream has no group yet
            raise MeasurementFailed("the store counts other jobs than were enqueued")
        return {
            "stored_per_job": (self._store.stored() - empty) / self.count,
            "fill_rate": self.count / took["seconds"],
        }

    def _wake(self, worker: Worker) -> None:
        """Have a first job run, so that the worker is known to be there."""
        self._programs.produce("fill", "noop", "1")
        worker.started()

    def _until_done(self, worker: Worker, wanted: int) -> Values:
        """Wait until all jobs have run and the store has none left."""
        worker.until_runs(wanted // 2)
        half = worker.rss_mb()
        worker.until_runs(wanted)
        looks = 1
        while self._store.left(self._looks):
            worker.check()
            time.sleep(LOOK)
            looks += 1
        more = worker.runs() - wanted
        return {"half_mb": half, "more_runs": more, "looks": looks}

    def _idle(self, worker: Worker) -> Values:
        """What doing nothing costs, in a second."""
        time.sleep(REST)
        before, cpu, began = self._store.counters(), worker.cpu(), time.monotonic()
        time.sleep(IDLE)
        span = time.monotonic() - began
        values = {"idle_cpu": (worker.cpu() - cpu) / span * 1e3, "rss_mb": worker.rss_mb()}
        after = self._store.counters()
        if after:
            values["idle_commands"] = (after["commands"] - before["commands"] - 1) / span
        return values

    @staticmethod
    def _worker_memory(worker: Worker) -> Values:
        return {"rss_mb": worker.rss_mb(), "peak_mb": worker.peak_mb()}

    def _used(self, before: Values, jobs: int, looks: float = 0) -> Values:
        """What the server did for each job, less what this process asked of it."""
        after = self._store.counters()
        asked = {"commands": 1 + looks * len(self._looks), "reads": 1 + looks}
        return {
            f"{name}_per_job": max(after[name] - before[name] - asked.get(name, 0), 0) / jobs
            for name in after
        }


def _us(took: Values, jobs: int) -> float:
    return took["cpu"] / jobs * 1e6


def _spread(samples: Sequence[int]) -> Values:
    """How ranked samples in ns are spread, in ms."""
    return {
        "p50": samples[len(samples) // 2] / 1e6,
        "p95": samples[len(samples) * 95 // 100] / 1e6,
        "p99": samples[len(samples) * 99 // 100] / 1e6,
        "max": samples[-1] / 1e6,
    }
