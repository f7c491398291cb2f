"""The store's password comes from systemd's credentials, and is seen nowhere else."""

from __future__ import annotations

import json

import pytest

from tests.daemon.harness import Store
from tests.servers import RedisServer
from tests.systemd.conftest import SHARED

SECRET = "hunter2-and-more"
URL = f"unix://:{SECRET}@{SHARED}/s"


@pytest.fixture
def server(place):
    options = {"unixsocketperm": "777", "requirepass": SECRET}
    with RedisServer("valkey9", place / "shared", options=options) as running:
        yield running


def test_the_password_is_nowhere_to_be_seen(service, server, box, seen):
    daemon = service()
    box.write("/etc/credstore/asyncmqd.backend_url", URL, 0o600)
    daemon.write_config(
        'tasks = ["ledger"]\npython_path = ["/srv/app"]\n[queues.mail]\n'  # and no backend
    )
    daemon.start()
    store = Store(URL.replace(SHARED, str(server.directory)))
    store.add("mail", "mark", ["a"])
    daemon.log.wait_for("job.completed", job_id="a")
    daemon.reload()
    for task in ("environment", "child_environment"):
        store.add("mail", task, [task])
        daemon.log.wait_for("job.completed", job_id=task)
        names = json.loads(store.get("mail", task).result)
        assert ("LEDGER" in names, "CREDENTIALS_DIRECTORY" in names) == (True, False)
    told = str(daemon.status()) + str(daemon.show("StatusText")) + daemon.cli("status").stdout
    assert "unix://" in told
    places = {
        "status": told,
        "environment": box.path(f"/proc/{daemon.pid}/environ").read_text(),
        "command line": box.path(f"/proc/{daemon.pid}/cmdline").read_text(),
        "journal": str(box.journal()),
        "systemctl show": box.systemctl("show", daemon.unit).stdout,
    }
    assert [name for name, text in places.items() if SECRET in text] == []
    seen(f"check 10: the store's password out of the credential store is in no {', '.join(places)}")
