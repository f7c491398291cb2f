"""Bugs in what the stores in memory and SQLite share."""

from __future__ import annotations

from tests.mutations.mutation import mutations

APPLYING = mutations(
    "",
    "memory or sqlite",
    (
        ("applying.py", "    if row.token != change.token:\n", "    if False:\n", "fencing"),
        ("applying.py", "if _state_of(row.place) not in path.sources:", "if False:", "fencing"),
        ("applying.py", "if change.lapsed and not lines.has_lapsed(row):", "if False:", "leases"),
        ("applying.py", "    row.token += change.outside\n", "", "fencing"),
        ("applying.py", "        lines.revive(row)\n", "        pass\n", "leases"),
        ("applying.py", "if change.attempt is not None:", "if False:", "insight"),
        ("applying.py", "        lines.settle_edges(row)\n", "", "blocked"),
        ("applying.py", "    if path.returns:\n", "    if False:\n", "unique"),
        ("applying.py", "if path.revives and lines.is_name_taken(row):", "if False:", "unique"),
        # Wrong in the model and in the store alike: only rules notice.
        (
            "applying.py",
            "lines.move_in_time(row, target, change.delay)",
            "lines.move_in_time(row, target, 0.0)",
            "model",
        ),
    ),
)
