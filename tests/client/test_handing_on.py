"""Jobs, tasks and errors go to other processes: by pickle, and jobs as text."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import asyncmqd
from asyncmqd import Job, JobFailed, NameTaken, NotConfigured, Queue, Retry, State, connect, task
from asyncmqd.admin.job_by_name import Undecided
from asyncmqd.backends import BaseBackend, InMemoryBackend
from asyncmqd.backends.base import StoreUncertain
from asyncmqd.client import connection
from asyncmqd.client.job_references import store_of
from asyncmqd.config.errors import ConfigError, ConfigErrors, Place
from asyncmqd.domain.job import Failure
from asyncmqd.runtime.execution.process_executor import ChildFailed
from tests.contract.jobs import succeeded

WHY = Failure("ValueError", "as it should", "Traceback ...")
SAMPLES: dict[str, Callable[[], Exception]] = {
    "ChildFailed": lambda: ChildFailed(WHY),
    "ConfigErrors": lambda: ConfigErrors([ConfigError(Place(0, 3, "queues.toml"), "k", "got 1")]),
    "JobFailed": lambda: JobFailed("a", State.FAILED, WHY),
    "NameTaken": lambda: NameTaken("a", "b"),
    "Retry": lambda: Retry("later", after="5m"),
    "Undecided": lambda: Undecided("app.send", ["key", "cost"]),
}


def modules(package: ModuleType = asyncmqd) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def errors() -> list[type[Exception]]:
    """Every error that asyncmqd defines, also those that no user is to see."""
    found = {
        each
        for module in modules()
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Exception) and "asyncmqd" in each.__module__
    }
    return sorted(found, key=lambda each: each.__name__)


def sample(kind: type[Exception]) -> Exception:
    return SAMPLES.get(kind.__name__, lambda: kind("what happened"))()


def facts(error: BaseException) -> tuple[Any, ...]:
    return type(error), str(error), vars(error), error.args


def fail(name: str) -> None:
    """In another process."""
    [kind] = [each for each in errors() if each.__name__ == name]
    raise sample(kind)


@task(queue="math", name="client.handed_on", priority=3)
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ASYNCMQD_BACKEND", raising=False)
    monkeypatch.setenv("ASYNCMQD_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setattr(connection, "_default", None)


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize("kind", errors(), ids=lambda each: each.__name__)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_every_error_comes_through_pickle_and_copy(
    kind: type[Exception], again: Callable[[Exception], Exception]
) -> None:
    error = sample(kind)
    error.add_note("seen in shop 7")
    assert facts(again(error)) == facts(error)


def test_what_a_lost_reply_says_comes_along() -> None:
    error = StoreUncertain("no answer")
    error.job_ids = ("a", "b")
    assert pickle.loads(pickle.dumps(error)).job_ids == ("a", "b")


def test_process_pools_bring_a_failed_job_back() -> None:
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads warns
    with spawn.Pool(1) as pool, pytest.raises(JobFailed, match="a is failed: ValueError") as caught:
        pool.apply_async(fail, ["JobFailed"]).get(60)
    assert caught.value.failure == WHY
    with ProcessPoolExecutor(1, mp_context=spawn) as pool, pytest.raises(JobFailed) as caught:
        pool.submit(fail, "JobFailed").result(60)
    assert (caught.value.id, caught.value.state) == ("a", "failed")


# ---------------------------------------------------------------------- tasks


def test_a_process_pool_runs_a_task_and_is_handed_one() -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert list(pool.map(double, [1, 2], timeout=60)) == [2, 4]
        found = pool.submit(copy.copy, double.options(priority=7)).result(60)
    assert found.name == "client.handed_on"
    assert found.job(1).spec.priority == 7


def test_a_pickled_task_has_its_options_and_its_store_without_a_password() -> None:
    other = "redis://:geheim@127.0.0.1:1/2"
    pickled = pickle.dumps(double.options(priority=7, backend=other))
    assert b"geheim" not in pickled
    with pytest.raises(NotConfigured, match=r"with the password of redis://\*\*\*@127.0.0.1:1/2"):
        pickle.loads(pickled).enqueue_sync(1)
    connect(other)
    pickled = pickle.loads(pickled)
    assert store_of(pickled._backend).secret_url == other


def test_a_task_that_its_module_declares_no_more_is_named() -> None:
    pickled = pickle.dumps(double).replace(b"client.handed_on", b"client.handed_xx")
    with pytest.raises(LookupError, match=r"client.handed_xx: expected module .* to declare it"):
        pickle.loads(pickled)


# ---------------------------------------------------------------------- jobs


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BaseBackend:
    if request.param == "memory":
        return connect(InMemoryBackend())
    return connect(f"sqlite://{tmp_path}/jobs.db")


async def end(store: BaseBackend, job: Job) -> None:
    [claim] = await store.claim(job.queue, 1, 60, "w")
    change = succeeded(claim, b"6")
    assert await store.apply(job.queue, [change]) == ["applied"]


async def test_a_job_comes_through_pickle_and_copy(store: BaseBackend) -> None:
    job = await double.enqueue(3)
    again = [pickle.loads(pickle.dumps(job)), copy.copy(job)]
    await end(store, job)
    for each in again:
        assert (each.id, each.queue, each.task, each.args) == (job.id, "math", job.task, [3])
        assert each.created
        assert await each.result(timeout=60) == 6
    await store.close()


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_a_copy_has_the_very_store(again: Callable[[Any], Any]) -> None:
    own = InMemoryBackend()
    queue = Queue("math", own, concurrency=7)
    queue.add_repeatable(double, every=60, args=[3])
    job = queue.add_sync(double, 3)
    copied = again(queue)
    assert copied.backend is own
    assert (copied.name, copied.concurrency) == ("math", 7)
    assert copied.repeatables == queue.repeatables
    assert again(job)._backend is own
    assert (again(job).id, again(job).args) == (job.id, [3])
    assert again(double.options(backend=own))._store() is own


async def test_a_ref_finds_the_job_and_its_task(store: BaseBackend) -> None:
    job = await double.enqueue(3)
    again = Job.from_ref(job.ref)
    assert (again.id, again.queue, again.task, again.ref) == (job.id, "math", "", job.ref)
    await end(store, job)
    assert await again.result(timeout=60) == 6
    assert (again.task, again.args, again.priority) == ("client.handed_on", [3], 3)
    await store.close()


def test_a_pickled_job_has_no_password_and_finds_the_store_that_can_log_in() -> None:
    url = "redis://me:geheim@127.0.0.1:1/2?prefix=shop"
    job = Job.from_ref("mail.a", url)
    pickled = pickle.dumps(job)
    assert b"geheim" not in pickled
    with pytest.raises(NotConfigured, match="it does not come along"):
        pickle.loads(pickled).state_sync()
    connect(url)
    assert pickle.loads(pickled)._backend.secret_url == url


@pytest.mark.parametrize("id", ["a", "01JD-x_y.z", "~", "a~2F", "".join(map(chr, range(33, 127)))])
def test_a_ref_is_safe_in_a_url_and_names_any_id(id: str) -> None:
    job = Job.from_ref(Job.from_ref(f"mail.{id.replace('~', '~7E')}", "memory://").ref, "memory://")
    assert (job.queue, job.id) == ("mail", id)
    assert set(job.ref) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


@pytest.mark.parametrize("text", ["", "mail", "mail.", ".a", "Mail.a", "mail.a b", "mail.~00", 5])
def test_what_is_no_ref_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"expected the ref of a job, QUEUE\.ID, got"):
        Job.from_ref(text)


async def test_without_a_store_a_job_from_text_says_so() -> None:
    with pytest.raises(NotConfigured):
        await Job.from_ref("mail.a").state()


# ---------------------------------------------------------------------- queues


def test_a_pickled_queue_has_its_numbers_and_its_store_without_a_password() -> None:
    url = "redis://me:geheim@127.0.0.1:1/2?prefix=shop"
    queue = Queue("math", url, concurrency=7)
    queue.add_repeatable(double, every=60, args=[3])
    pickled = pickle.dumps(queue)
    assert b"geheim" not in pickled
    again = pickle.loads(pickled)
    assert (again.name, again.concurrency, again.repeatables) == ("math", 7, queue.repeatables)
    with pytest.raises(NotConfigured, match="it does not come along"):
        _ = again.backend
    connect(url)
    assert again.backend.secret_url == url


async def test_a_queue_of_the_configured_store_is_one_where_it_arrives(store: BaseBackend) -> None:
    again = pickle.loads(pickle.dumps(Queue("math")))
    job = await double.enqueue(3)
    assert (await again.counts()).waiting == 1
    await end(store, job)
    await store.close()
