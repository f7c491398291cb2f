"""Who is measured: what each peer needs, how it is started, and what it has left to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROGRAMS = Path(__file__).parent / "programs"
QUEUE = "bench"
SLOTS = 100


@dataclass(frozen=True)
class Peer:
    """One job queue in its best documented configuration."""

    name: str
    kind: Literal["own", "python", "node"]
    program: str
    # The Redis commands whose answers add up to the jobs that are not done yet.
    left: Sequence[tuple[str, ...]] = ()
    requirements: Sequence[str] = ()
    store: Literal["redis", "sqlite", "none"] = "redis"
    delays: bool = True  # whether a job can be enqueued with a delay of its own
    quick: bool = True  # whether it is part of the short run


PEERS = (
    Peer(
        "asyncmqd",
        "own",
        "run_asyncmqd.py",
        left=(
            ("ZCARD", f"asyncmq:{{{QUEUE}}}:waiting"),
            ("ZCARD", f"asyncmq:{{{QUEUE}}}:active"),
        ),
    ),
    Peer("asyncmqd sqlite", "own", "run_asyncmqd.py", store="sqlite"),
    Peer(
        "bullmq",
        "node",
        "run_bullmq.mjs",
        left=(("LLEN", f"bull:{QUEUE}:wait"), ("LLEN", f"bull:{QUEUE}:active")),
        requirements=("bullmq@6.7.0", "ioredis@5.11.1"),
    ),
    Peer(
        "asyncmq",
        "python",
        "run_asyncmq.py",
        left=(("ZCARD", f"queue:{QUEUE}:waiting"), ("HLEN", f"queue:{QUEUE}:active")),
        requirements=("asyncmq==0.10.1", "redis[hiredis]==8.1.0", "uvloop==0.23.0"),
    ),
    Peer(
        "saq",
        "python",
        "run_saq.py",
        left=(("ZCARD", f"saq:{QUEUE}:incomplete"),),
        requirements=(
            "saq==0.26.4",
            "redis[hiredis]==8.1.0",
            "uvloop==0.23.0",
            "typing_extensions==4.15.0",
        ),
        quick=False,
    ),
    Peer(
        "taskiq",
        "python",
        "run_taskiq.py",
        requirements=(
            "taskiq==0.13.0",
            "taskiq-redis==1.2.4",
            "redis[hiredis]==8.1.0",
            "uvloop==0.23.0",
        ),
        left=(("XINFO GROUPS", QUEUE),),
        delays=False,
        quick=False,
    ),
    Peer(
        "arq",
        "python",
        "run_arq.py",
        left=(("ZCARD", "arq:queue"),),
        requirements=("arq==0.28.0", "redis[hiredis]==5.3.1", "uvloop==0.23.0"),
        quick=False,
    ),
    Peer("bare loop", "own", "run_bare.py", store="none"),
)

OURS, OURS_SQLITE, BULLMQ, REFERENCE = PEERS[:4]


def daemon_config(place: Path, url: str, scan_interval: float | None) -> Path:
    """The configuration of our daemon: the defaults, but for the slots that all peers get."""
    lines = [
        f"backend = {json.dumps(url)}",
        'tasks = ["run_asyncmqd"]',
        f"python_path = [{json.dumps(str(PROGRAMS))}]",
        f"control_socket = {json.dumps(str(place / 'control.sock'))}",
        f"[queues.{QUEUE}]",
        f"concurrency = {SLOTS}",
    ]
    if scan_interval is not None:
        lines.append(f"scan_interval = {scan_interval}")
    path = place / "queues.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
