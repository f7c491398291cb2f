"""The stores of the contract suite, the daemons of the daemon suite, and how long to try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.conftest import open_store, server, store_url
from tests.daemon.conftest import daemon, place
from tests.scale import scaled

__all__ = ["daemon", "open_store", "place", "seen", "server", "store_url"]

CORPUS = Path(__file__).parent / "corpus"


def count(*, short: int, full: int) -> int:
    """How many inputs to try: ten times `full` in a soak."""
    return scaled(short, full, 10 * full)


def corpus(kind: str) -> dict[str, bytes]:
    """Inputs that are nasty, or that failed once, by the name of their file."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / kind).iterdir())}


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes a line that is printed when all tests are done."""
    return lambda text: record_property("seen", text)
