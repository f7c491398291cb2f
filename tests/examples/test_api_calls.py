"""The example of docs/keys.md: an API that takes 600 calls a minute of each customer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from tests.daemon.harness import Daemon, until
from tests.examples.conftest import EXAMPLES
from tests.examples.reader import readme_of

FOLDER = EXAMPLES / "api_calls"
FILE = (FOLDER / "queues.toml").read_text()
ORDERS = {"busy": 25, "small": 3, "big": 40}


def test_each_customer_has_his_calls_and_waits_for_no_other(tmp_path: Path) -> None:
    store, calls = f"sqlite://{tmp_path}/jobs.db", tmp_path / "calls.txt"
    environ = {"ASYNCMQD_BACKEND": store, "API_CALLS": str(calls), "PYTHONPATH": str(EXAMPLES)}
    fill = f"from api_calls.fill import fill; print(fill({ORDERS}))"
    said = subprocess.check_output([sys.executable, "-c", fill], env=environ, text=True)
    assert said == f"{sum(ORDERS.values())}\n"
    queues = FILE[FILE.index("[queues") :]
    daemon = Daemon(tmp_path, store, queues, tasks=["api_calls.tasks"], environ=environ)
    daemon.start()
    try:
        until(
            lambda: calls.exists() and len(calls.read_text().splitlines()) == sum(ORDERS.values())
        )
    finally:
        daemon.kill()
    starts = defaultdict(list)
    lines = [line.split() for line in calls.read_text().splitlines()]
    for moment, customer, _ in lines:
        starts[customer].append(float(moment))
    assert {customer: len(each) for customer, each in starts.items()} == ORDERS
    # 10 calls of `busy` come at once, the other 15 take 100 ms each; a busy host may begin late.
    assert max(starts["busy"]) - min(starts["busy"]) > 0.75
    last = Counter(customer for _, customer, _ in lines[-5:])
    assert last == {"busy": 5}, "somebody else has waited for a customer who is held back"


def test_its_readme_is_true(tmp_path: Path) -> None:
    calls = tmp_path / "calls.txt"
    with readme_of("api_calls", tmp_path, API_CALLS=str(calls)) as (reader, rest):
        *commands, last = rest.replace("/tmp/api_calls.txt", str(calls)).splitlines()
        said = reader.type("\n".join(commands))
        assert said.startswith("203\n")
        assert re.search(r"limits of each key +5 running; 600 in 60 s, 10 at once", said)
        assert "\nreason   " in said
        until(lambda: reader.type(last).count(" small ") == ORDERS["small"])


def test_its_page_shows_its_code() -> None:
    code = "\n".join(file.read_text() for file in FOLDER.glob("*.*"))
    page = (EXAMPLES.parent / "docs" / "keys.md").read_text()
    blocks = re.findall(r"^```(?:python|toml)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert [block for block in blocks if "600" in block and block not in code] == []
    assert any("600" in block for block in blocks)
