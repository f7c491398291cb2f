"""What a user namespace (`PrivateUsers=` of a unit, a container) does to the ids of others."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_ALL_IDS = 2**32 - 1  # so many of them does the first user namespace of a host map


def nobodies(kind: Literal["uid", "gid"]) -> set[int]:
    """The id that stands for all which this namespace does not map; empty where it maps all."""
    lines = Path(f"/proc/self/{kind}_map").read_text("ascii").splitlines()
    if sum(int(line.split()[2]) for line in lines) >= _ALL_IDS:
        return set()
    return {int(Path(f"/proc/sys/kernel/overflow{kind}").read_text("ascii"))}
