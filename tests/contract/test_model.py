"""Every store behaves like the store in memory, whatever is asked of it in whatever order."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from tests.contract.commands import ADDS, commands
from tests.contract.conftest import ON_ALL_STORES
from tests.contract.model import Add
from tests.contract.play import Play
from tests.scale import SCALE

PLAYS = 10  # on each store in the short form: every step is compared three times over


@ON_ALL_STORES
@pytest.mark.timeout(600)  # a failure is shrunk for up to five minutes before it is told
def test_a_store_behaves_like_the_model(store_url: str) -> None:
    store = open_backend(store_url)
    queues = (f"q{number}" for number in itertools.count())
    with asyncio.Runner() as runner:
        try:
            tries = settings(max_examples=PLAYS) if SCALE == "short" else settings()
            run_state_machine_as_test(lambda: _Machine(runner, store, next(queues)), settings=tries)
        finally:
            runner.run(store.close())


class _Machine(RuleBasedStateMachine):
    """One play on a queue of its own; a failure is printed as the shortest list of its steps."""

    def __init__(self, runner: asyncio.Runner, store: BaseBackend, queue: str) -> None:
        super().__init__()
        self._runner = runner
        self._play = Play(store, queue)
        runner.run(self._play.begin())

    @initialize(command=ADDS)
    def begin(self, command: Add) -> None:
        self._runner.run(self._play.step(command))

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        command = data.draw(commands(self._play.jobs, self._play.under_way))
        self._runner.run(self._play.step(command))

    def teardown(self) -> None:
        self._runner.run(self._play.end())
