"""Only where there is a Prometheus: `make test-prometheus` gets that of Debian."""

from __future__ import annotations

import os

from tests.daemon.conftest import daemon, file, place, server

__all__ = ["daemon", "file", "place", "server"]

collect_ignore = [] if os.environ.get("ASYNCMQD_TEST_PROMETHEUS") else ["test_alerts.py"]
