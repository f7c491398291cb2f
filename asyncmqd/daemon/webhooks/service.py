"""The part of a daemon that delivers webhooks: a worker of a queue of its own, and a watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from asyncmqd.config.webhooks import Webhook, read_secret
from asyncmqd.daemon.webhooks.delivery import LIMIT, deliver
from asyncmqd.daemon.webhooks.sending import QUEUE, Failures, Queues, Watch, task_of
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.retry import Exponential
from asyncmqd.domain.tasks import TaskDef, TaskOptions
from asyncmqd.runtime.job_context import current_job
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker

RETRIES = 12  # about three hours
_BACKOFF = Exponential(base=5.0, cap=3_600.0)
# Requests of one webhook, from all daemons: a receiver that does not answer delays no other.
_AT_ONCE = 2


class Webhooks:
    """Serves `QUEUE` while it runs. The `[[webhooks]]` are those of the start."""

    def __init__(
        self,
        context: ProcessContext,
        webhooks: Sequence[Webhook],
        queues: Queues,
        environ: Mapping[str, str],
    ) -> None:
        self._context = context
        self._options = QueueOptions(
            concurrency=_AT_ONCE * len(webhooks), key_concurrency=_AT_ONCE, drain_timeout=LIMIT
        )
        self._failures = Failures(context, webhooks, queues)
        self._watch = Watch(context, webhooks, queues)
        self._stops: list[Callable[[], Coroutine[Any, Any, None]]] = []
        for webhook in webhooks:
            options = TaskOptions(queue=QUEUE, retries=RETRIES, backoff=_BACKOFF)
            function = _delivering(webhook, partial(read_secret, webhook.secret_file, environ))
            context.registry.add(TaskDef(function, task_of(webhook), options))

    def start(self) -> None:
        """Deliver from now on."""
        self._failures.start()
        worker = begin(Worker(QUEUE, self._context, self._options, declares=True).run())
        watch = self._context.duties.begin("webhooks", self._watch.run)

        async def stop() -> None:
            watch.end()
            worker.cancel()
            await asyncio.wait([worker])

        self._stops.append(stop)

    async def stop(self) -> None:
        """Claim no more, and wait for the requests that are under way."""
        while self._stops:
            await self._stops.pop()()


def _delivering(
    webhook: Webhook, secret: Callable[[], bytes]
) -> Callable[[str], Coroutine[Any, Any, None]]:
    async def send(body: str) -> None:
        id, private = f"msg_{current_job().id}", webhook.allow_private
        await deliver(webhook.url.text, id, body.encode(), secret(), allow_private=private)

    return send
