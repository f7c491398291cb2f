"""Drawings of docs/scale.md: one chart, some lines, logarithmic to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")  # before the next import, which looks for a screen otherwise

from matplotlib import pyplot as plt

PLACE = Path(__file__).parent.parent / "docs" / "drawings"


def lines(
    name: str, right: str, up: str, at: Sequence[int], values: Mapping[str, Sequence[float]]
) -> str:
    """Draw to docs/drawings/NAME.svg; the Markdown that shows it."""
    mpl.rcParams["svg.hashsalt"] = name  # the same data, the same file
    figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
    for label, line in values.items():
        axes.plot(at, line, marker="o", label=label)
    axes.set_xscale("log")
    axes.set_xticks(at, [f"{each:,}" for each in at])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(right)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    if len(values) > 1:
        axes.legend()
    PLACE.mkdir(exist_ok=True)
    path = PLACE / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return f"![{up}, by {right}](drawings/{path.name})"
