"""What is probably wrong is said at start, and by `check --import`; nothing is refused for it."""

from __future__ import annotations

from asyncmqd.client.result_waits import serving
from tests.daemon.harness import Store, until

TASKS = """
from asyncmqd import task

@task(queue="mail")
async def nightly(day: int, *, dry: bool = False) -> None: ...

@task(queue="mial")
async def thank() -> None: ...
"""
QUEUES = """
[queues.mail]
[[queues.mail.repeatables]]
task = "shop.nightly"
every = 3600
args = [1]
[[queues.mail.repeatables]]
task = "shop.nigthly"
every = 3600
[[queues.mail.repeatables]]
task = "shop.nightly"
name = "no argument"
every = 3600
[[queues.mail.repeatables]]
task = "shop.nightly"
name = "text"
every = 3600
args = ["monday"]
"""
PACKAGE = "expected a module that has tasks, got 'bare': a package; name its modules"


def _application(place) -> list[str]:
    (place / "shop.py").write_text(TASKS)
    (place / "bare").mkdir()
    (place / "bare" / "__init__.py").write_text("")
    (place / "bare" / "tasks.py").write_text("")
    (place / "whole.py").write_text("import shop\n")
    return ["shop", "whole", "email", "bare"]


def _advice(d) -> list[str]:
    """Warnings about the configuration; others are about the host."""
    warnings = [each["warning"] for each in d.all("daemon.warning")]
    return [each for each in warnings if each.startswith(("tasks[", "queues."))]


def _expected(warnings: list[str]) -> None:
    """One line for each, whatever stands before and in between."""
    wanted = [
        ("tasks[2]: expected a module that has tasks, got 'email': a module of Python itself",),
        (f"tasks[3]: {PACKAGE} one by one, such as 'bare.tasks'",),
        ("queues.mail.repeatables[1].task", "got 'shop.nigthly' (did you mean shop.nightly?)"),
        ("queues.mail.repeatables[2]: expected arguments that fit the task", "'day'"),
        ("queues.mail.repeatables[3]: expected arguments that fit the task", "'day'"),
        ("queues.mial: expected this queue, which task shop.thank names", "(did you mean mail?)"),
    ]
    for parts in wanted:
        assert sum(all(part in line for part in parts) for line in warnings) == 1, (parts, warnings)
    assert len(warnings) == len(wanted), warnings


def test_check_says_it_with_file_and_line_and_ends_with_0(daemon, file: Store, place) -> None:
    d = daemon(file.url, QUEUES, tasks=_application(place))
    checked = d.cli("check", "--import")
    assert checked.returncode == 0
    lines = checked.stderr.splitlines()
    _expected(lines)
    line = d.config.read_text().splitlines().index('task = "shop.nigthly"') + 1
    assert any(each.startswith(f"warning: {d.config}:{line}: queues.mail") for each in lines)


def test_a_daemon_says_it_once_with_any_number_of_processes(daemon, file: Store, place) -> None:
    tasks = _application(place)
    for processes in (1, 2):
        d = daemon(file.url, QUEUES, tasks=tasks, top=f"processes = {processes}\n")
        d.start()
        until(lambda d=d: len(_advice(d)) >= 6)  # a child's lines come on a way of their own
        _expected(_advice(d))
        _says_which_tasks_it_knows(d, file)
        d.stop()


def _says_which_tasks_it_knows(d, file: Store) -> None:
    """In the log when a job has another, and to all who read the store."""
    [id] = file.add("mail", "shop.nigthtly", [f"slip-{d.pid}"])
    parked = d.wait_for("job.parked", job_id=id)
    assert parked["reason"] == "no code here knows its task (did you mean shop.nightly?)"
    processes = file.do(serving)
    assert processes
    assert all(each.tasks == ("shop.nightly", "shop.thank") for each in processes)


def test_a_queue_of_another_living_daemon_is_no_matter(daemon, file: Store, place) -> None:
    tasks = _application(place)
    other = daemon(file.url, "[queues.mial]\n", tasks=tasks, name="other")
    other.start()
    d = daemon(file.url, QUEUES, tasks=tasks)
    d.start()
    assert not any("mial" in each for each in _advice(d))


def test_a_reload_says_what_is_new(daemon, file: Store, place) -> None:
    d = daemon(file.url, "[queues.mail]\n[queues.mial]\n", tasks=_application(place)[:2])
    d.start()
    assert not _advice(d)
    d.configure("[queues.mial]\n" + QUEUES)
    answer = d.ask("reload")
    _says_what_is_wrong_with_the_schedules(answer["warnings"])
    assert answer["lines"][-3:] == [f"! {warning}" for warning in answer["warnings"]]
    until(lambda: len(_advice(d)) == 3)
    assert d.ask("reload")["warnings"] == [], "it was told"


def test_a_reload_of_child_processes_says_it_too(daemon, file: Store, place) -> None:
    two = "processes = 2\n"
    d = daemon(file.url, "[queues.mail]\n[queues.mial]\n", tasks=_application(place)[:2], top=two)
    d.start()
    d.configure("[queues.mial]\n" + QUEUES, two)
    _says_what_is_wrong_with_the_schedules(d.ask("reload")["warnings"])


def _says_what_is_wrong_with_the_schedules(warnings: list[str]) -> None:
    expected = ("a task that a module", "arguments that fit", "arguments that fit")
    for number, (warning, what) in enumerate(zip(warnings, expected, strict=True), 1):
        assert warning.startswith(f"queues.mail.repeatables[{number}]")
        assert f"expected {what}" in warning
