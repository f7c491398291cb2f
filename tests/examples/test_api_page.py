"""docs/api.md: every public name is on it, and its examples run."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import asyncmqd
from asyncmqd import backends, testing

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")


@pytest.fixture(scope="module")
def shop() -> ModuleType:
    """The examples of the page as one module, made once: a task's name is registered once."""
    module = sys.modules["api_page"] = ModuleType("api_page")
    exec("\n\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), module.__dict__)
    return module


def test_every_public_name_is_on_the_page() -> None:
    first_cells = " ".join(re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE))
    named = set(re.findall(r"`(\w+)`", first_cells))
    assert {*asyncmqd.__all__, *backends.__all__, *testing.__all__} == named - {"name"}


async def test_the_examples_run(shop: ModuleType) -> None:
    await shop.test_a_welcome_is_sent()
    with testing.app() as app:
        assert await shop.safely("ada@example.org") == "stored"
        signing_up = asyncio.create_task(shop.sign_up("eve@example.org"))
        ran = []
        while not signing_up.done():
            ran += await app.run_dry()
            await asyncio.sleep(0)
        assert await signing_up == "welcome, eve@example.org"
    assert sorted(run.task for run in ran) == ["api_page.report", *["api_page.send_welcome"] * 6]
    assert {str(run.state) for run in ran} == {"completed"}
