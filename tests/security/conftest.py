"""The stores of the contract suite, the daemons of the daemon suite, and how long to try."""

from __future__ import annotations

from pathlib import Path

from tests.contract.conftest import open_store, server, store_url
from tests.daemon.conftest import daemon, place
from tests.scale import scaled

__all__ = ["daemon", "open_store", "place", "server", "store_url"]

CORPUS = Path(__file__).parent / "corpus"


def count(*, short: int, full: int) -> int:
    """How many inputs to try: ten times `full` in a soak."""
    return scaled(short, full, 10 * full)


def corpus(kind: str) -> dict[str, bytes]:
    """Inputs that are nasty, or that failed once, by the name of their file."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / kind).iterdir())}
