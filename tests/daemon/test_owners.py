"""Whose a task is: a job's are listed and remembered, those of the daemon are hidden from jobs."""

from __future__ import annotations

import asyncio
import contextvars

from asyncmqd.daemon.task_owners import begin_task, owner_of
from asyncmqd.domain.loop_tasks import begin_all
from asyncmqd.observe.log import running_job
from asyncmqd.runtime.job_context import JobContext


async def test_a_job_sees_its_own_tasks_and_none_of_ours() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(begin_task)
    job = JobContext(id="j", queue="q", task="t", attempt=1, worker="w", _ends=None, _run=None)
    of_the_job = contextvars.copy_context()
    of_the_job.run(running_job.set, job)
    ours = asyncio.create_task(asyncio.Event().wait())
    theirs = of_the_job.run(asyncio.create_task, asyncio.Event().wait())
    by_context = asyncio.create_task(asyncio.Event().wait(), context=of_the_job)
    assert asyncio.all_tasks() & {ours, theirs, by_context} == {theirs, by_context}
    assert [owner_of(each) for each in (ours, theirs, by_context)] == [None, job, job]
    for each in (ours, theirs, by_context):
        each.cancel()
    await asyncio.wait([ours, theirs, by_context])


async def test_tasks_that_begin_together_are_as_those_that_begin_alone() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(begin_task)
    job = JobContext(id="j", queue="q", task="t", attempt=1, worker="w", _ends=None, _run=None)
    of_the_job = contextvars.copy_context()
    of_the_job.run(running_job.set, job)
    ours = begin_all([asyncio.sleep(0, 1), asyncio.sleep(0, 2)])
    theirs = of_the_job.run(begin_all, [asyncio.sleep(0, 3)])
    alone = begin_task(loop, asyncio.sleep(0))  # Python 3.13.0 names it anew in create_task
    assert asyncio.all_tasks() & {*ours, *theirs} == {*theirs}
    assert [owner_of(each) for each in (*ours, *theirs)] == [None, None, job]
    assert {each.get_name() for each in ours} == {alone.get_name()}
    assert await asyncio.gather(*ours, *theirs) == [1, 2, 3]
    await alone
