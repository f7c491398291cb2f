"""What is traced in this process. Who turns it on imports OpenTelemetry; this does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncmqd.runtime.execution.execute_job import Execution


class Traces:
    """The process's own: what it runs jobs by, and whether we send the spans."""

    def __init__(self) -> None:
        self.execution: type[Execution] | None = None  # None: nothing is traced
        self.exports = False


TRACES = Traces()
