"""What docs/monitoring has for Prometheus and Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "docs/monitoring"
RULES = MONITORING / "asyncmqd-alerts.yml"
_VARIABLES = {"$__rate_interval": "1m", "$queue": ".*"}  # as Grafana would fill them in


def rules() -> list[dict[str, Any]]:
    """All rules."""
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def alerts() -> list[str]:
    """Their names."""
    return [rule["alert"] for rule in rules() if "alert" in rule]


def queries() -> list[str]:
    """All that the dashboard asks for."""
    dashboard = json.loads((MONITORING / "asyncmqd-dashboard.json").read_text())
    return sorted(set(_expressions(dashboard)))


def _expressions(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(written := part.get("expr"), str):
            for name, value in _VARIABLES.items():
                written = written.replace(name, value)
            yield written
        part = list(part.values())
    for each in part if isinstance(part, list) else ():
        yield from _expressions(each)
