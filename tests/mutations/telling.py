"""Bugs in what is told of runs: their spans, and the last lines of those that failed."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

SPANS = ("tests/client/test_traces.py",)
TAIL = ("tests/unit/test_log_tail.py",)
JOB_LOGS = ("tests/daemon/test_job_logs.py",)

HOOKS = ("tests/daemon/test_webhooks.py",)

TELLING = [
    Mutation(
        "asyncmqd/daemon/webhooks/delivery.py",
        "for each in addresses if not is_public(each)",
        "for each in addresses[:1] if not is_public(each)",
        (*HOOKS, "-k", "each_address"),
    ),
    Mutation(
        "asyncmqd/daemon/webhooks/delivery.py",
        "        return found.ipv4_mapped\n",
        "        return None\n",
        (*HOOKS, "-k", "public"),
    ),
    Mutation(
        "asyncmqd/daemon/webhooks/delivery.py",
        "async with asyncio.timeout(NEXT):",
        "async with asyncio.timeout(LIMIT):",
        (*HOOKS, "-k", "never_answers"),
    ),
    Mutation(
        "asyncmqd/daemon/webhooks/delivery.py",
        "if not 200 <= status < 300:",
        "if not 200 <= status < 400:",
        (*HOOKS, "-k", "redirects"),
    ),
    Mutation(
        "asyncmqd/daemon/webhooks/delivery.py",
        'f"{id}.{timestamp}.".encode() + body',
        "body",
        (*HOOKS, "-k", "signature"),
    ),
    Mutation(
        "asyncmqd/daemon/webhooks/sending.py",
        " and queue != QUEUE",
        "",
        (*HOOKS, "-k", "many_failures"),
    ),
    Mutation(
        "asyncmqd/config/webhooks.py",
        "if queue in queues and (names := queues[queue].webhooks) is not None:",
        "if queue in queues and (names := queues[queue].webhooks):",
        (*HOOKS, "-k", "says_itself"),
    ),
    Mutation(
        "asyncmqd/daemon/webhooks/sending.py",
        "unique_for=_AGAIN",
        "unique_for=0.0",
        (*HOOKS, "-k", "silent or late"),
    ),
    Mutation(
        "asyncmqd/runtime/tracing/spans.py",
        "[Link(producer)] if producer.is_valid else [],",
        "[],",
        SPANS,
    ),
    Mutation(
        "asyncmqd/runtime/tracing/spans.py",
        "    context = Context()\n    for name",
        "    context = None\n    for name",
        SPANS,
    ),
    Mutation(
        "asyncmqd/runtime/tracing/spans.py",
        'attributes["asyncmqd.job.attempt"] = claim.attempt',
        'attributes["asyncmqd.job.attempt"] = 1',
        SPANS,
    ),
    Mutation(
        "asyncmqd/runtime/tracing/execution.py",
        "        token = attach(context)\n",
        "        token = attach({})\n",
        SPANS,
    ),
    Mutation("asyncmqd/observe/log_tail.py", "deque(maxlen=LINES)", "deque()", TAIL),
    Mutation(
        "asyncmqd/observe/log_tail.py",
        "            if left < 0:\n",
        "            if False:\n",
        TAIL,
    ),
    Mutation(
        "asyncmqd/runtime/execution/process_executor.py",
        "            job.keep([event])\n",
        "            pass\n",
        (*JOB_LOGS, "-k", "killed"),
    ),
    Mutation(
        "asyncmqd/runtime/execution/process_executor.py",
        'self._begun.pop(event.get("stream", ""), None)  # it is whole\n',
        "pass\n",
        (*JOB_LOGS, "-k", "without_an_end"),
    ),
    Mutation(
        "asyncmqd/runtime/execution/retry_rules.py",
        "return change if run.tail is None or not change.error else",
        "return change if True else",
        (*JOB_LOGS, "-k", "each_attempt"),
    ),
]
