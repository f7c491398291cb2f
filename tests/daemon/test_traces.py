"""Traces of a daemon, from a producer with a provider of its own to a collector that listens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from asyncmqd import Queue, trace_jobs
from asyncmqd.client.pending import NO_OPTIONS, pending
from asyncmqd.domain.codec import decode
from asyncmqd.domain.middleware import AROUND_ENQUEUE
from asyncmqd.domain.settle import decode_failure
from asyncmqd.runtime import tracing
from asyncmqd.runtime.tracing import spans as made
from tests.daemon.harness import COMMAND, Daemon, until
from tests.otlp import CONSUMER, ERROR, INTERNAL, Collector, collecting

QUEUES = "[queues.mail]\nscan_interval = 0.05\n[queues.default]\n"
FAST = "bsp_schedule_delay = 20\n"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


class Producer:
    """A program that set up OpenTelemetry for itself: this one."""

    def __init__(self, file: Any, provider: TracerProvider) -> None:
        self.queue = Queue("mail", file.url)
        self.exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def add(self, *names: str) -> list[str]:
        return [self.queue.add_sync(name).id for name in names]

    @property
    def sent(self) -> Any:
        return self.exporter.get_finished_spans()

    def context(self, number: int = 0) -> tuple[str, str]:
        told = self.sent[number].context
        return trace.format_trace_id(told.trace_id), trace.format_span_id(told.span_id)


@pytest.fixture
def produce(file: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(AROUND_ENQUEUE, "declared", [])
    monkeypatch.setattr(tracing.TRACES, "execution", None)
    monkeypatch.setattr(made, "_tracer", made._tracer)

    def make(provider: TracerProvider | None = None) -> Producer:
        provider = provider or TracerProvider()
        trace_jobs(provider)
        return Producer(file, provider)

    return make


def otel(collector: Collector | str, more: str = FAST) -> str:
    url = collector if isinstance(collector, str) else collector.url
    return f'[otel]\nexporter_otlp_endpoint = "{url}"\n{more}'


def started(daemon: Any, file: Any, table: str, **options: Any) -> Daemon:
    made: Daemon = daemon(file.url, table + QUEUES, tasks=("traced",), **options)
    return made.start()


def ended(file: Any, *ids: str) -> list[Any]:
    until(lambda: all(file.get("mail", id).state.terminal for id in ids))
    return [file.get("mail", id) for id in ids]


@pytest.mark.parametrize("top", ["", "processes = 2\n"], ids=["one process", "two"])
def test_runs_link_to_their_enqueue_whatever_runs_them(daemon, file, collector, produce, top):
    p = produce()
    d = started(daemon, file, otel(collector), top=top)
    token = context.attach(baggage.set_baggage("tenant", "t7"))
    ids = p.add("loop", "thread", "process")
    context.detach(token)
    jobs = ended(file, *ids)
    assert [decode(job.result) for job in jobs] == ["t7"] * 3
    assert d.stop() == 0
    for number, (id, name) in enumerate(zip(ids, ("loop", "thread", "process"), strict=True)):
        (run,) = collector.of(id)
        assert (run.name, run.kind, run.parent) == ("run mail", CONSUMER, "")
        assert run.links == [p.context(number)]
        attributes = dict(run.attributes)
        assert attributes.pop("messaging.client.id").startswith(
            d.wait_for("daemon.starting")["worker"].partition("/")[0]
        )
        if name != "process":
            assert attributes.pop("shop.order") == 17
        assert attributes == {
            "messaging.system": "asyncmqd",
            "messaging.destination.name": "mail",
            "messaging.operation.name": "run",
            "messaging.operation.type": "process",
            "messaging.message.id": id,
            "asyncmqd.job.task": name,
            "asyncmqd.job.attempt": 1,
            "asyncmqd.job.outcome": "returned",
        }
        assert run.status.code == 0
        assert run.resource["service.name"] == "asyncmqd"
        inside = [each for each in collector.spans if each.trace_id == run.trace_id]
        (query,) = [each for each in inside if each.name == "query"]
        if name == "process":
            (call,) = [each for each in inside if each.kind == INTERNAL and each.name == name]
            assert (call.parent, query.parent) == (run.id, call.id)
            assert call.attributes["shop.order"] == 17
        else:
            assert query.parent == run.id
        lines = [each for each in d.events if each.get("job_id") == id]
        texts = {each["event"] for each in lines}
        assert texts >= {"working", "job.completed"}
        assert name != "process" or texts >= {"printed", "of a program"}
        assert {each["trace_id"] for each in lines} == {run.trace_id}


def test_each_attempt_is_a_span_with_its_error(daemon, file, collector, produce):
    p = produce()
    d = started(daemon, file, otel(collector))
    names = ("fails", "fails_elsewhere", "fails_broken", "asks_again", "late", "dies")
    ids = dict(zip(names, p.add(*names), strict=True))
    ended(file, *ids.values())
    assert d.stop() == 0
    first, second = collector.of(ids["fails"])
    assert [run.attributes["asyncmqd.job.attempt"] for run in (first, second)] == [1, 2]
    assert first.links == second.links
    assert first.trace_id != second.trace_id
    told = second.events["exception"]
    assert (told["exception.type"], told["exception.message"]) == ("ValueError", "attempt 2")
    assert 'raise ValueError(f"attempt' in told["exception.stacktrace"]
    assert second.attributes["error.type"] == "ValueError"
    assert (second.status.code, second.status.message) == (ERROR, "ValueError: attempt 2")
    (elsewhere,) = collector.of(ids["fails_elsewhere"])
    assert elsewhere.events["exception"]["exception.type"] == "Broken"
    (broken,) = collector.of(ids["fails_broken"])
    assert broken.attributes["error.type"] == "traced.Broken"
    assert "cannot be shown" in broken.events["exception"]["exception.message"]
    failure = decode_failure(file.get("mail", ids["fails_broken"]).error)
    assert failure is not None
    assert failure.type == "Broken"
    again = collector.of(ids["asks_again"])
    assert [run.status.code for run in again] == [ERROR, 0]
    (late,) = collector.of(ids["late"])
    assert late.attributes["error.type"].endswith("JobTimeout")
    *_, dies = collector.of(ids["dies"])
    assert (dies.attributes["asyncmqd.job.outcome"], dies.status.code) == ("crashed", ERROR)


def test_what_a_job_enqueues_is_within_its_run(daemon, file, collector, produce):
    p = produce()
    d = started(daemon, file, otel(collector))
    (id,) = p.add("parent")
    (job,) = ended(file, id)
    child = decode(job.result)
    until(lambda: file.get("default", child).state.terminal)
    assert d.stop() == 0
    (run,) = collector.of(id)
    (sent,) = [each for each in collector.spans if each.name == "enqueue default"]
    assert (sent.trace_id, sent.parent) == run.context
    assert sent.attributes["messaging.message.id"] == child
    (its,) = collector.of(child)
    assert its.links == [sent.context]


def test_one_span_for_a_batch_that_all_runs_link_to(daemon, file, collector, produce):
    p = produce()
    d = started(daemon, file, otel(collector))
    batch = [pending("loop", (), {}, NO_OPTIONS) for _ in range(3)]
    jobs = asyncio.run(p.queue.add_bulk(batch))
    ended(file, *[job.id for job in jobs])
    assert d.stop() == 0
    (sent,) = p.sent
    assert dict(sent.attributes) == {
        "messaging.system": "asyncmqd",
        "messaging.destination.name": "mail",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 3,
    }
    assert [collector.of(job.id)[0].links for job in jobs] == [[p.context()]] * 3


def test_what_the_producer_did_not_sample_is_not_sampled_here(daemon, file, collector, produce):
    p = produce(TracerProvider(sampler=ParentBased(TraceIdRatioBased(0))))
    d = started(daemon, file, otel(collector))
    ended(file, *p.add("loop"))
    file.add("mail", "loop", ["by_hand"])
    ended(file, "by_hand")
    assert d.stop() == 0
    assert [run.attributes["messaging.message.id"] for run in collector.spans if run.links] == []
    assert len(collector.of("by_hand")) == 1


def test_a_forked_child_sends_its_own_by_a_connection_of_its_own(daemon, file, collector):
    d = started(daemon, file, otel(collector))
    for id in ("first", "second"):
        file.add("mail", "forks", [id])
        ended(file, id)
        until(lambda id=id: collector.of(id))  # so the parent has a connection
    assert d.stop() == 0
    forked = [each for each in collector.spans if each.name == "in the fork"]
    runs = [collector.of("first")[0].context, collector.of("second")[0].context]
    assert [(each.trace_id, each.parent) for each in forked] == runs
    assert len(collector.connections) >= 3


def test_the_keys_reach_the_collector(daemon, file, collector):
    more = (
        'service_name = "shop"\nresource_attributes = "deployment.environment.name=test"\n'
        'exporter_otlp_headers = "api-key=s3cret"\nexporter_otlp_compression = "gzip"\n'
    )
    d = started(daemon, file, otel(collector, more))
    file.add("mail", "loop", ["one"])
    ended(file, "one")
    assert d.stop() == 0  # sent at the end: five seconds were not over
    (run,) = collector.of("one")
    assert run.resource["service.name"] == "shop"
    assert run.resource["deployment.environment.name"] == "test"
    assert collector.headers["api-key"] == "s3cret"
    assert "s3cret" not in f"{d.events}"


def test_a_dead_collector_is_told_of_once_and_holds_up_no_stop(daemon, file):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    d = started(
        daemon, file, otel(f"http://127.0.0.1:{port}", FAST + "exporter_otlp_timeout = 3\n")
    )
    for number in range(3):
        file.add("mail", "loop", [f"job{number}"])
        ended(file, f"job{number}")
    d.wait_for("traces.failing")
    assert d.stop() == 0
    assert len(d.all("traces.failing")) <= 2
    assert "Connection refused" in d.all("traces.failing")[0]["error"]


def test_a_collector_that_says_nothing_holds_up_no_stop(daemon, file, collector):
    collector.answers.clear()
    d = started(daemon, file, otel(collector, FAST + "exporter_otlp_timeout = 600\n"))
    file.add("mail", "loop", ["one"])
    ended(file, "one")
    until(lambda: collector.requests)
    file.add("mail", "process", ["two"])
    ended(file, "two")
    assert d.stop() == 0
    assert "not taken" in d.all("traces.failing")[-1]["error"]


def test_a_collector_that_comes_back(daemon, file, collector):
    collector.status = 401
    d = started(daemon, file, otel(collector))
    file.add("mail", "loop", ["one"])
    ended(file, "one")
    assert "Unauthorized" in d.wait_for("traces.failing")["error"]
    collector.status = 200
    file.add("mail", "loop", ["two"])
    ended(file, "two")
    assert d.wait_for("traces.recovered")["lost"] >= 1
    assert d.stop() == 0
    assert len(d.all("traces.failing")) == 1


OWN = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
from traced import *
"""


def test_an_application_with_a_provider_of_its_own_keeps_it(daemon, file, collector):
    d: Daemon = daemon(file.url, otel(collector) + QUEUES, tasks=("own", "traced"))
    (d.place / "own.py").write_text(OWN)
    d.start()
    for name in ("loop", "process"):
        file.add("mail", name, [name])
        ended(file, name)
    assert d.stop() == 0
    assert collector.requests == 0
    assert len(d.all('    "name": "run mail",')) == 2


def test_without_the_table_nothing_of_it_is_imported(daemon, file):
    d: Daemon = daemon(file.url, QUEUES, tasks=("imported",), command=COMMAND)
    (d.place / "imported.py").write_text(
        "import sys\nfrom asyncmqd import task\n@task(name='which')\ndef which():\n"
        "    return [each for each in sys.modules if 'opentelemetry' in each or"
        " each.startswith('asyncmqd.runtime.tracing.')]\n"
        "which_else = task(name='which_else', executor='process')(which.definition.function)\n"
    )
    d.start()
    for name in ("which", "which_else"):
        file.add("mail", name, [name])
        (job,) = ended(file, name)
        assert decode(job.result) == [], name
    assert d.stop() == 0


def test_without_the_packages_the_start_says_what_to_install(daemon, file):
    d: Daemon = daemon(file.url, "[otel]\n" + QUEUES, tasks=("traced",), command=COMMAND)
    (d.place / "opentelemetry").mkdir()
    (d.place / "opentelemetry" / "__init__.py").touch()
    checked = d.cli("check")
    d.start(ready=False)
    assert (d.wait(), checked.returncode) == (78, 78)
    line = d.config.read_text().splitlines().index("[otel]") + 1
    expected = "expected the packages of asyncmqd[otel], which are not installed"
    assert f"{d.config}:{line}: otel: {expected}" in d.stderr
    assert f"{d.config}:{line}: otel: {expected}, got no opentelemetry.trace" in checked.stderr
