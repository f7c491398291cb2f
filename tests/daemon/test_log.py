"""The log of a real daemon: nothing of a job is lost, and nobody waits for its reader."""

from __future__ import annotations

import pytest

from tests.daemon.harness import Store, until

MAIL = "[queues.mail]\nconcurrency = 5\n"
JOBS = 150
SIZE = 40_000  # characters of one print: so many jobs print more than waits for a reader


@pytest.fixture
def store(place) -> Store:
    return Store(f"sqlite://{place}/jobs.db")


def _talk(d, store: Store) -> None:
    """Run jobs that print a lot, to the end."""
    store.add("mail", "talk", [f"j{number}" for number in range(JOBS)], SIZE)
    until(lambda: store.counts("mail").completed == JOBS)
    assert len(d.lines()) == JOBS


def test_a_pipe_that_nobody_reads_holds_up_no_job(daemon, store):
    d = daemon(store.url, MAIL).start(read=False)
    _talk(d, store)
    lost = d.ask("status")["log"]["dropped"]
    assert lost > 0
    assert f"log    {lost} lines dropped" in d.cli("status").stdout
    d.read()
    told = d.wait_for("log.dropped")
    assert (told["level"], told["reason"]) == ("warning", "buffer full")
    store.add("mail", "talk", ["after"], 10)
    d.wait_for("job.completed", job_id="after")
    assert d.stop() == 0
    prints = [e["job_id"] for e in d.events if e["event"] == "x" * SIZE]
    ended = [e["job_id"] for e in d.all("job.completed") if e["job_id"] != "after"]
    dropped = sum(e["dropped"] for e in d.all("log.dropped"))
    assert len(prints) + len(ended) + dropped == 2 * JOBS
    assert dropped == lost
    assert d.events[-1]["event"] == "daemon.stopped"


@pytest.mark.parametrize("closed", [True, False])
def test_a_pipe_that_nobody_will_ever_read_holds_up_no_job_and_no_end(daemon, store, closed):
    d = daemon(store.url, MAIL).start(read=False)
    if closed:
        d.process.stdout.close()
    _talk(d, store)
    assert d.ask("status")["log"]["dropped"] > 0
    assert "nobody read them" in d.cli("status").stdout
    assert d.stop() == 0
    assert d.stderr == ""


def test_status_says_nothing_of_a_log_that_is_read(daemon, store):
    d = daemon(store.url, MAIL).start()
    assert d.ask("status")["log"] == {"dropped": 0}
    assert "dropped" not in d.cli("status").stdout


@pytest.mark.parametrize("task", ["last_words", "last_words_thread"])
def test_the_last_line_survives_a_kill(daemon, store, task):
    d = daemon(store.url, MAIL).start()
    store.add("mail", task, ["a"])
    assert d.wait() == -9
    assert d.all("last words", job_id="a", stream="stdout")


@pytest.mark.parametrize("task", ["say", "say_thread", "say_process"])
def test_all_that_a_job_says_carries_its_id_and_its_key(daemon, store, task):
    d = daemon(store.url, MAIL).start()
    store.add("mail", task, ["a"], key="t7")
    d.wait_for("job.completed", job_id="a", job_key="t7")
    said = [e for e in d.events if e["event"] in {"printed", "logged", "unfinished"}]
    assert [e["event"] for e in said] == ["printed", "logged", "unfinished"]
    assert {(e["job_id"], e["task"], e["queue"], e["attempt"], e["job_key"]) for e in said} == {
        ("a", task, "mail", 1, "t7")
    }
    assert [e["level"] for e in said] == ["info", "warning", "info"]
    assert said[1]["logger"] == "shop"
    assert d.stop() == 0
