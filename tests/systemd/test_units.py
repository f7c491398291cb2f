"""What the units are, before anything runs, and what systemd makes of them."""

from __future__ import annotations

import re

UNITS = ("asyncmqd.service", "asyncmqd@a.service")


def test_they_are_valid_and_expose_little(box, seen):
    box.run("systemd-analyze", "verify", "--man=no", *UNITS, "asyncmqd.target")
    for unit in UNITS:
        judged = box.run(
            "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", unit
        )
        (figure,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", judged.stdout)
        seen(f"check 11: exposure of {unit} by systemd-analyze security: {figure} (limit 1.5)")
