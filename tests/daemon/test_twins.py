"""Two living daemons of one identity: cloned machines, containers with a fixed host name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.daemon.family import LONG_LEASES
from tests.daemon.harness import Daemon, Store, until

MANY = "[queues.mail]\nconcurrency = 20\n"

# On their own hosts they would differ in nothing that their identity is made of.
CLONE = """
import os
from asyncmqd.daemon import instance_lock
from asyncmqd.runtime import own_identity
from asyncmqd.runtime.process import presence, recovery

instance_lock.instance_id = lambda _: "clone-0123456789ab"
presence.BEAT = recovery.LOOK = 0.3
read = own_identity._read
if boot := os.environ.get("BOOT"):
    own_identity._read = lambda name: boot if name.endswith("boot_id") else read(name)
"""


@pytest.fixture
def clone(daemon: Any, place: Path) -> Any:
    """Makes daemons of one identity, on file systems that do not share their locks."""
    (place / "sitecustomize.py").write_text(CLONE)

    def make(store: Store, name: str, boot: str = "") -> Daemon:
        (place / name).mkdir()
        environ = {"PYTHONPATH": str(place), "BOOT": boot}
        made: Daemon = daemon(store.url, MANY, top=LONG_LEASES, name=f"{name}/d", environ=environ)
        return made

    return make


@pytest.mark.parametrize(("kind", "boot"), [("file", ""), ("server", "another")])
def test_a_living_twin_is_named_and_never_robbed(request, clone, kind, boot):
    """Containers of one host on a file that they share, and hosts on one Redis."""
    store = Store(request.getfixturevalue(kind).url)
    one, two = clone(store, "one"), clone(store, "two", boot)
    one.start()
    store.add("mail", "hold", [f"{n}" for n in range(20)])
    until(lambda: len(one.lines("began")) == 20)
    two.start()
    assert "recovered" not in two.all("daemon.ready")[0]
    for here, there in ((one, two), (two, one)):
        twin = there.all("daemon.starting")[0]["worker"]
        warning = here.wait_for("daemon.warning", twin=twin)
        assert f"process {there.pid} on host" in warning["warning"]
    two.kill()
    two.start()
    one.kill()
    one.start()
    assert one.all("daemon.ready")[0]["recovered"] == 20, "its own former self is dead for certain"
    until(lambda: len(one.lines("began")) == 40)
    one.open_gate()
    until(lambda: store.counts("mail").completed == 20)
    assert len(one.lines("began")) == 40
    assert not [*two.all("job.recovered"), *two.all("job.lease_lost"), *one.all("job.lease_lost")]
