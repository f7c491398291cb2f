"""Limits over all daemons, with real processes that start, reload and are killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncmqd.admin import queues, why
from asyncmqd.domain.states import State
from tests.daemon.harness import Store, until
from tests.scale import scaled

SHORT_LEASES = "lease = 2\nhang_limit = 4\n"


def mail(limit: int | None) -> str:
    key = "" if limit is None else f"global_concurrency = {limit}\n"
    return f"[queues.mail]\nconcurrency = 5\n{key}"


def most_at_once(place: Path) -> int:
    """How many runs there were at the same time at most; who was killed is not counted."""
    marks = []
    for line in (place / "ledger").read_text().splitlines():
        word, *_, moment = line.split()
        marks.append((float(moment), 1 if word == "began" else -1))
    running = most = 0
    for _, step in sorted(marks):
        running += step
        most = max(most, running)
    return most


@pytest.mark.parametrize("kind", scaled(["server"], ["file", "server"]))
def test_two_daemons_run_no_more_than_the_limit_also_when_one_is_killed(
    request: pytest.FixtureRequest, daemon: Any, place: Path, kind: str
) -> None:
    store = Store(request.getfixturevalue(kind).url)
    one, two = (
        daemon(store.url, mail(3), top=SHORT_LEASES, name=name).start() for name in ("one", "two")
    )
    ids = store.add("mail", "nap", [f"n{number}" for number in range(12)], 0.1)
    until(lambda: len(one.lines()) == 12)
    assert sorted(one.lines()) == sorted(ids)
    assert most_at_once(place) <= 3
    store.add("mail", "hold", [f"h{number}" for number in range(6)])
    until(lambda: len({*one.lines("began")} - {*ids}) == 3)
    assert store.counts("mail").active == 3
    shown = store.do(lambda backend: queues.show(backend, "mail")).limits
    assert shown is not None
    assert (shown.concurrency, shown.held) == (3, 3)
    assert shown.by == one.all("daemon.starting")[0]["worker"]
    reason = store.do(lambda backend: why.queue(backend, "mail"))
    assert "global_concurrency is 3" in reason.sentence
    one.kill()
    one.open_gate()  # what the killed one held is run by the other, once its leases have ended
    until(lambda: len(two.lines()) == 18)
    assert store.counts("mail").completed == 18


def test_a_reload_of_one_daemon_counts_for_all(daemon: Any, file: Any, place: Path) -> None:
    store = Store(file.url)
    one, two = (daemon(store.url, mail(1), name=name).start() for name in ("one", "two"))
    store.add("mail", "hold", [f"h{number}" for number in range(8)])
    until(lambda: len(one.lines("began")) == 1)
    two.configure(mail(4))
    two.ask("reload")
    until(lambda: len(one.lines("began")) == 4)
    two.configure(mail(None))
    two.ask("reload")
    until(lambda: len(one.lines("began")) == 8)
    one.open_gate()
    until(lambda: len(one.lines()) == 8)


@pytest.mark.parametrize("kind", scaled(["file"], ["file", "server"]))
def test_two_daemons_start_no_more_jobs_than_the_rate_says(
    request: pytest.FixtureRequest, daemon: Any, kind: str
) -> None:
    store = Store(request.getfixturevalue(kind).url)
    rate = "[queues.mail]\nconcurrency = 4\nglobal_rate_limit = 20\nglobal_burst = 3\n"
    one, two = (daemon(store.url, rate, name=name).start() for name in ("one", "two"))
    store.add("mail", "nap", [f"n{number}" for number in range(25)], 0.0)
    until(lambda: len(one.lines()) == 25)
    records = store.do(lambda backend: backend.list("mail", State.COMPLETED, 0, 100))
    starts = sorted(each.started for each in records if each.started is not None)
    for first, begin in enumerate(starts):
        for last in range(first, len(starts)):
            assert last - first + 1 <= 3 + 20 * (starts[last] - begin) + 0.001
    limits = two.ask("status")["queues"]["mail"]["limits"]
    assert (limits["rate_limit"], limits["burst"]) == (20, 3)
    assert limits["by"] in {each.all("daemon.starting")[0]["worker"] for each in (one, two)}
