"""`TracedExecution`: each run within a span, whichever executor it has."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span

from asyncmqd.domain.job import Failure, JobSpec
from asyncmqd.domain.settle import Crashed, Outcome, Raised, Refused, Released, Succeeded
from asyncmqd.runtime.execution.execute_job import Execution
from asyncmqd.runtime.execution.run import Rules, Run
from asyncmqd.runtime.tracing.spans import (
    record_failure,
    start_run,
    trace_id_of,
    type_name,
    with_present_context,
)


class TracedExecution(Execution):
    """Outside of all that is around a run: what a function there does is in the span, too."""

    async def _call_in_time(self, run: Run) -> Outcome | None:
        assert run.spec is not None
        span, context = start_run(run.claim, run.spec)
        if trace_id := trace_id_of(span):
            labels = {**(run.claim.labels or {}), "trace_id": trace_id}
            run.claim = msgspec.structs.replace(run.claim, labels=labels)
        token = attach(context)
        try:
            outcome = await super()._call_in_time(run)
            _end_as(span, outcome)
            return outcome
        finally:
            span.end()
            detach(token)

    def _call(self, run: Run, rules: Rules, spec: JobSpec) -> Awaitable[Any]:
        if rules.in_child:  # see `child_spans.py`
            headers = with_present_context(spec.headers)
            spec = msgspec.structs.replace(spec, headers=headers)
        return super()._call(run, rules, spec)


def _end_as(span: Span, outcome: Outcome | None) -> None:
    name = "lost"  # its claim; whoever has the job now settles it
    match outcome:
        case Succeeded():
            name = "returned"
        case Raised(error, failure):
            name = "raised"
            is_told = getattr(error, "failure", None) is failure  # by a child process, as text only
            record_failure(span, failure.type if is_told else type_name(type(error)), failure)
        case Refused(failure):
            name = "refused"
            record_failure(span, failure.type, failure)
        case Crashed(reason):
            name = "crashed"
            record_failure(span, "Crashed", Failure("Crashed", reason))
        case Released():
            name = "released"
    span.set_attribute("asyncmqd.job.outcome", name)
