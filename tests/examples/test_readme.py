"""The five minutes of README.md, as a reader would type them."""

from __future__ import annotations

import asyncio
import re
import runpy
import signal
from pathlib import Path

import pytest

from tests.examples.reader import Reader

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands(heading: str) -> str:
    """The shell lines of the paragraph that begins with `heading` in bold."""
    paragraph = README.partition(f"**{heading}**")[2]
    return paragraph.partition("```sh\n")[2].partition("```")[0]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    tasks, signup, test = blocks("python")
    (tmp_path / "shop.py").write_text(tasks)
    (tmp_path / "signup.py").write_text(signup)
    (tmp_path / "test_shop.py").write_text(test)
    (tmp_path / "queues.toml").write_text(blocks("toml")[0].replace("/srv/shop", str(tmp_path)))
    return tmp_path


def test_the_tour(shop: Path):
    reader = Reader(shop / "queues.toml", shop)
    assert "queues.toml: ok, 2 queues" in reader.type("asyncmqd check")
    with reader.daemon() as daemon:
        assert reader.type("python signup.py") == "welcome, ada@example.org\n"
        looked = reader.type(commands("Look."))
        assert "mail" in looked
        assert "shop.send_welcome" in looked
        config = shop / "queues.toml"
        config.write_text(config.read_text().replace("concurrency = 20", "concurrency = 30"))
        changed = reader.type(commands("Change"))
        assert changed.count("30") == 2  # planned, and applied
        daemon.send_signal(signal.SIGINT)
        assert daemon.stdout is not None
        assert '"daemon.stopped"' in daemon.stdout.read()
        assert daemon.wait() == 0


def test_the_test(shop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(shop)
    asyncio.run(runpy.run_path(str(shop / "test_shop.py"))["test_the_welcome"]())
