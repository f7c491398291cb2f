"""`hide_arguments`: what a configuration names of applications is told to nobody over HTTP."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.daemon.harness import Daemon, Store, until
from tests.servers import free_port

Make = Callable[..., Daemon]
SECRET = "sec-" + "ret"
KEYS = f'[queues.mail.keys."{SECRET}"]\nkey_concurrency = 1\n'
SCHEDULE = (
    "[[queues.mail.repeatables]]\n"
    f"task = 'mark'\nevery = 3600\nargs = ['{SECRET}']\nkey = '{SECRET}'\n"
)
PAGES = ("/", "/daemons", "/queues/mail", "/schedules", "/readyz")
ANSWERS = tuple(f"/api/v1/{each}" for each in ("status", "plan", "config", "queue?queue=mail"))
WRONG = {
    "a value of a key": KEYS.replace("= 1", "= 'x'"),
    "an unknown key": KEYS.replace("key_concurrency", "concurency"),
    "a table at a wrong place": f'[queues.mail."{SECRET}"]\nkey_concurrency = 1\n',
    "a key twice": KEYS + KEYS,
    "a value that is never closed": KEYS + f"note = ['{SECRET}'\n",
    "arguments that are no array": SCHEDULE.replace(f"['{SECRET}']", f"'{SECRET}'"),
    "a key of a schedule": SCHEDULE.replace(f"key = '{SECRET}'", f"key = ['{SECRET}']"),
}


@pytest.fixture
def told(daemon: Make, file: Store, place: Path) -> Callable[..., str]:
    """Asks a daemon whose configuration is then another one, and gives the body of the answer."""
    port, tokens = free_port(), place / "tokens"
    tokens.write_text(f"olga operate {sha256(b'olga').hexdigest()}\n")
    head = f'[http]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{tokens}"\nhide_arguments = true\n'
    made = daemon(file.url, f"{head}[queues.mail]\n{KEYS}{SCHEDULE}").start()

    def ask(method: str, path: str, written: str) -> str:
        made.configure(f"{head}[queues.mail]\n{written}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, path, headers={"Authorization": "Bearer olga"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    return ask


@pytest.mark.parametrize("written", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_by_its_place(told: Callable[..., str], written: str) -> None:
    refused = json.loads(told("POST", "/api/v1/reload", written))
    assert not refused["ok"]
    assert "d.toml:" in refused["error"]
    until(lambda: re.search("reload refused.*, since 20", told("GET", "/readyz", written)))
    assert SECRET not in refused["error"]
    for path in (*PAGES, *ANSWERS):
        assert SECRET not in told("GET", path, written), path
    assert "asyncmqd check" in told("GET", "/api/v1/status", written)


def test_what_a_reload_changes_names_no_key(told: Callable[..., str]) -> None:
    other = KEYS.replace("= 1", "= 2") + SCHEDULE.replace(f"'{SECRET}'", f"'{SECRET}2'")
    for path in (*PAGES, *ANSWERS):
        assert SECRET not in told("GET", path, other), path
    assert "key: hidden" in told("GET", "/daemons", other)
    late = SCHEDULE.replace("args", "kwargs").replace(f"['{SECRET}']", f"{{{SECRET} = 1}}")
    reloaded = json.loads(told("POST", "/api/v1/reload", other + late.replace("'mark'", "'nap'")))
    assert reloaded["result"]["warnings"] == ["1 warning: the log has them"]
    assert SECRET not in str(reloaded)
