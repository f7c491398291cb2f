"""Who is measured: what each peer needs, how it is started, what it lacks, and what it has left."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from programs.marks import LEVELS, LIMIT, QUEUE, QUEUES, SLOTS

PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).parent.parent
REDIS_PY = ("redis[hiredis]==8.1.0",)
ASYNCIO = (*REDIS_PY, "uvloop==0.23.0")

BLOCKS = "its client blocks, so one process has no calls in flight"
ONE_QUEUE = "a worker serves one queue"
NO_PRIORITIES = "no priorities on Redis"
NO_RATES = "no rate limits"
NO_THREADS = "runs coroutines only"
LATER = "delayed jobs need a second process, its scheduler"


@dataclass(frozen=True)
class Peer:
    """One job queue in its best documented configuration."""

    name: str
    kind: Literal["own", "python", "node"]
    program: str
    # What counts the jobs that are not done yet: Redis commands, or queries of SQLite. The answers
    # add up. $queue stands for each queue.
    left: Sequence[tuple[str, ...]] = ()
    requirements: Sequence[str] = ()
    store: Literal["redis", "sqlite", "none"] = "redis"
    options: str = ""  # of the store's URL
    variant: str = ""  # which configuration its program is to use
    core: Literal["python", "asyncio", "rust", "node"] = "python"
    python: tuple[int, int] = (3, 11)
    only: tuple[str, ...] = ()  # the works that it takes part in; empty: all
    share: float = 1.0  # of a work's jobs, so that a slow peer takes about as long
    lacks: Mapping[str, str] = field(default_factory=dict, hash=False)  # the work: why
    tree: Path = ROOT  # whose package is imported, if it is our own

    def looks(self, queues: Sequence[str]) -> list[tuple[str, ...]]:
        """What to ask the store for the jobs that are left in these queues."""
        return list(
            dict.fromkeys(
                tuple(word.replace("$queue", queue) for word in look)
                for queue in queues
                for look in self.left
            )
        )


def _own(name: str, **rest: Any) -> Peer:
    left: tuple[tuple[str, ...], ...] = tuple(
        ("ZCARD", f"asyncmq:{{$queue}}:{place}")
        for place in ("waiting", "keyed", "active", "delayed")
    )
    if rest.get("store") == "sqlite":
        places = "('waiting', 'waiting#keyed', 'active', 'delayed')"
        left = ((f"SELECT count(*) FROM jobs WHERE place IN {places}",),)
    return Peer(name, "own", "run_asyncmqd.py", left, core="asyncio", **rest)


OURS = _own("asyncmqd")
OURS_SQLITE = _own("asyncmqd sqlite", store="sqlite")
OURS_NORMAL = _own(
    "asyncmqd sqlite normal", store="sqlite", options="?synchronous=NORMAL", only=("drain",)
)
ARDIQ = Peer(
    "ardiq",
    "python",
    "run_ardiq.py",
    left=tuple(("XINFO GROUPS", f"ardiq:$queue:queues:{lane}") for lane in ("default", *LEVELS)),
    requirements=("ardiq==1.2.0", "uvloop==0.23.0"),
    core="rust",
    python=(3, 12),
    lacks={"queues": ONE_QUEUE, "limited": NO_RATES},
)
BULLMQ = Peer(
    "bullmq",
    "node",
    "run_bullmq.mjs",
    left=(
        ("LLEN", "bull:$queue:wait"),
        ("LLEN", "bull:$queue:active"),
        ("ZCARD", "bull:$queue:prioritized"),
        ("ZCARD", "bull:$queue:delayed"),
    ),
    requirements=("bullmq@6.7.0", "ioredis@5.11.1"),
    core="node",
    lacks={"threads": "what blocks runs in processes of their own, not in threads"},
)
SAQ = Peer(
    "saq",
    "python",
    "run_saq.py",
    left=(("ZCARD", "saq:$queue:incomplete"),),
    requirements=("saq==0.26.4", *ASYNCIO, "typing_extensions==4.15.0"),
    core="asyncio",
    share=0.2,
    lacks={"queues": ONE_QUEUE, "mixed": NO_PRIORITIES, "limited": NO_RATES},
)
TASKIQ = Peer(
    "taskiq",
    "python",
    "run_taskiq.py",
    left=(("XINFO GROUPS", "$queue"),),
    requirements=("taskiq==0.13.0", "taskiq-redis==1.2.4", *ASYNCIO),
    core="asyncio",
    share=0.25,
    lacks={
        "queues": ONE_QUEUE,
        "mixed": NO_PRIORITIES,
        "limited": NO_RATES,
        "due": LATER,
        "delayed": LATER,
    },
)
_dramatiq: dict[str, Any] = {
    "left": (
        ("HLEN", "dramatiq:$queue.msgs"),
        ("HLEN", "dramatiq:$queue.DQ.msgs"),
    ),
    "requirements": ("dramatiq[redis]==2.2.1", *REDIS_PY),
    "share": 0.25,
    "lacks": {"together": BLOCKS},
}
DRAMATIQ = Peer("dramatiq 2x50", "python", "run_dramatiq.py", variant="50", **_dramatiq)
DRAMATIQ_CLI = Peer(
    "dramatiq 2x8",
    "python",
    "run_dramatiq.py",
    variant="8",
    only=("drain", "sleep", "threads", "latency"),
    **_dramatiq,
)
HUEY = Peer(
    "huey",
    "python",
    "run_huey.py",
    left=(
        ("LLEN", "huey.redis.$queue"),
        ("ZCARD", "huey.redis.$queue"),  # with priorities
        ("ZCARD", "huey.schedule.$queue"),
    ),
    requirements=("huey==3.5.4", *REDIS_PY, "gevent==26.9.0"),
    share=0.2,
    lacks={"together": BLOCKS, "queues": ONE_QUEUE},
)
HUEY_SQLITE = Peer(
    "huey sqlite",
    "python",
    "run_huey.py",
    left=(("SELECT count(*) FROM task",), ("SELECT count(*) FROM schedule",)),
    requirements=HUEY.requirements,
    store="sqlite",
    share=0.2,
    lacks=HUEY.lacks,
)
ARQ = Peer(
    "arq",
    "python",
    "run_arq.py",
    left=(("ZCARD", "arq:queue"),),
    requirements=("arq==0.28.0", "redis[hiredis]==5.3.1", "uvloop==0.23.0"),
    core="asyncio",
    share=0.1,
    lacks={
        "queues": ONE_QUEUE,
        "mixed": NO_PRIORITIES,
        "limited": NO_RATES,
        "threads": NO_THREADS,
    },
)
STREAQ = Peer(
    "streaq",
    "python",
    "run_streaq.py",
    left=tuple(
        look
        for level in ("normal", *LEVELS)
        for look in (
            ("XINFO GROUPS", f"streaq:$queue:queues:{level}"),
            ("ZCARD", f"streaq:$queue:queues:delayed:{level}"),
        )
    ),
    requirements=("streaq==7.2.0", "coredis==6.9.0", "uvloop==0.23.0"),
    core="asyncio",
    share=0.1,
    lacks={"queues": ONE_QUEUE, "limited": NO_RATES},
)
DOCKET = Peer(
    "docket",
    "python",
    "run_docket.py",
    left=(("XINFO GROUPS", "$queue:stream"), ("ZCARD", "$queue:queue")),
    requirements=("pydocket==0.27.0", *ASYNCIO),
    core="asyncio",
    share=0.05,
    lacks={"queues": ONE_QUEUE, "mixed": "no priorities", "threads": NO_THREADS},
)
CELERY = Peer(
    "celery",
    "python",
    "run_celery.py",
    left=(
        ("LLEN", "$queue"),
        *(("LLEN", f"$queue\x06\x16{priority}") for priority in (3, 6, 9)),
        ("HLEN", "unacked"),
    ),
    requirements=("celery[redis]==5.7.0", *REDIS_PY),
    share=0.05,
    lacks={"together": BLOCKS},
)
RQ = Peer(
    "rq",
    "python",
    "run_rq.py",
    left=tuple(
        look
        for name in ("$queue", *LEVELS)
        for look in (
            ("LLEN", f"rq:queue:{name}"),
            ("ZCARD", f"rq:wip:{name}"),
            ("ZCARD", f"rq:scheduled:{name}"),
        )
    ),
    requirements=("rq==3.0.0", *REDIS_PY),
    share=0.03,
    lacks={
        "together": BLOCKS,
        "threads": "a worker runs one job at a time",
        "limited": "limits how many run at once, not how many start in a time",
    },
)
REFERENCE = Peer(
    "asyncmq",
    "python",
    "run_asyncmq.py",
    left=(
        ("ZCARD", "queue:$queue:waiting"),
        ("HLEN", "queue:$queue:active"),
        ("ZCARD", "queue:$queue:delayed"),
    ),
    requirements=("asyncmq==0.10.1", *ASYNCIO),
    core="asyncio",
    share=0.1,
)
BARE = Peer("bare loop", "own", "run_bare.py", store="none", only=("sleep",))

PEERS = (
    OURS,
    OURS_SQLITE,
    OURS_NORMAL,
    BULLMQ,
    ARDIQ,
    SAQ,
    TASKIQ,
    DRAMATIQ,
    DRAMATIQ_CLI,
    HUEY,
    HUEY_SQLITE,
    ARQ,
    STREAQ,
    DOCKET,
    CELERY,
    RQ,
    REFERENCE,
    BARE,
)
OTHERS = tuple(peer for peer in PEERS if peer.kind != "own")


def daemon_config(place: Path, url: str, work: str) -> Path:
    """The configuration of our daemon: the defaults, but for the slots that all peers get."""
    lines = [
        f"backend = {json.dumps(url)}",
        'tasks = ["run_asyncmqd"]',
        f"python_path = [{json.dumps(str(PROGRAMS))}]",
        f"control_socket = {json.dumps(str(place / 'control.sock'))}",
    ]
    many = work == "queues"
    for name in QUEUES if many else (QUEUE,):
        lines += [f"[queues.{name}]", f"concurrency = {1 if many else SLOTS}"]
        if work == "limited":
            lines.append(f"rate_limit = {LIMIT}")
        if work == "shared":
            lines += [f"global_concurrency = {LIMIT}", f"global_rate_limit = {LIMIT}"]
    path = place / "queues.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
