"""The manual pages say what the code says, their examples are true, and they can be shown."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from asyncmqd.cli import asyncmq, daemon
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.load import load
from asyncmqd.config.models import Settings
from asyncmqd.config.otel import Otel
from asyncmqd.config.tables import keys_of
from asyncmqd.daemon.app import BAD_CONFIG, FAILED, OK
from asyncmqd.daemon.signals import SIGNALS
from asyncmqd.domain.queue_options import KeyOptions, QueueOptions
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.observe.event_names import EVENT_LEVELS

PROJECT = Path(__file__).parents[2]
MAN = PROJECT / "docs/man"
PAGES = ["asyncmqd.8", "asyncmq.1", "queues.toml.5"]
EVENT = re.compile(
    r"(daemon|duty|operation|queue|job|process|schedule|scanner|loop|log|store|traces|http)\.[a-z_]+"
)


def text(page: str) -> str:
    """The page as people type what stands in it."""
    roff = (MAN / page).read_text()
    return re.sub(r"\\f[BIR]", "", roff).replace("\\-", "-").replace("\\(aq", "'")


def section(page: str, title: str) -> str:
    found = re.search(rf'^\.SH "{title}"\n(.*?)(?=^\.SH|\Z)', text(page), re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no section {title}"
    return found[1]


def terms(page: str, title: str) -> list[str]:
    return re.findall(r"^\.TP\n(.*)$", section(page, title), re.MULTILINE)


def source(page: str, title: str) -> str:
    return (MAN / f"{page}.md").read_text().partition(f"# {title}\n")[2].partition("\n# ")[0]


def example(page: str, title: str) -> str:
    found = re.search(r"```\w*\n(.*?)```", source(page, title), re.DOTALL)
    assert found, f"{page}: {title} has no example"
    return found[1]


# ------------------------------------------------------------------ held to the code


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_generator_writes(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "docs")
    made = runpy.run_path(str(PROJECT / "docs/make_man.py"))["page"](MAN / f"{page}.md")
    assert (MAN / page).read_text() == made, "run `make docs`"


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, f"{path} {name}")


@pytest.mark.parametrize(("page", "app"), [("asyncmqd.8", daemon.app), ("asyncmq.1", asyncmq.app)])
def test_every_command_is_there_with_its_options(page: str, app: typer.Typer) -> None:
    whole = section(page, "COMMANDS")
    name = page.partition(".")[0]
    for path, command in leaves(typer.main.get_command(app), name):
        if path == name:
            told = section(page, "OPTIONS")
        elif hasattr(command, "commands"):
            continue
        else:
            found = re.search(rf'^\.SS "{path}\b(.*?)(?=^\.SS|\Z)', whole, re.DOTALL | re.MULTILINE)
            assert found, path
            told = found[1]
        for parameter in command.params:
            option = parameter.opts[0] if parameter.param_type_name == "option" else ""
            entry = re.search(
                rf"^\.TP\n{re.escape(option or parameter.metavar)}\b(.*\n.*)", told, re.MULTILINE
            )
            assert entry, f"{path}: {option or parameter.metavar}"
            assert not parameter.envvar or parameter.envvar in entry[1]
            default = parameter.default
            if default not in (None, False):
                shown = f"{default:g}" if isinstance(default, float) else default
                assert f"Default: {shown}." in entry[1]


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("KEYS AT THE TOP", Settings),
        ("KEYS OF A QUEUE", QueueOptions),
        ("KEYS FOR THE JOBS OF ONE KEY", KeyOptions),
        ("KEYS OF A REPEATABLE", Repeatable),
        ("KEYS OF OTEL", Otel),
    ],
)
def test_every_key_is_there(title: str, model: Any) -> None:
    named = [term.split(" ")[0] for term in terms("queues.toml.5", title)]
    assert named == list(keys_of(model))


# What only those are told who watch, or have a webhook.
NOT_LOGGED = {
    *("job.removed", "job.replayed", "job.run_now", "operation.begun"),
    *("queue.late", "daemon.dead"),
}


def logged() -> set[str]:
    """All events that the code can log: texts of their form, but for keys of tables about them."""
    found = set()
    for path in (PROJECT / "asyncmqd").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        keys = {id(key) for node in nodes if isinstance(node, ast.Dict) for key in node.keys}
        found |= {
            node.value
            for node in nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and EVENT.fullmatch(node.value)
            and not node.value.endswith(".html")
            and id(node) not in keys
        }
    return found - NOT_LOGGED


def test_every_event_is_there_with_its_level() -> None:
    entries = re.findall(r"([a-z]+\.[a-z_]+)(?: \((\w+)\))?", "\n".join(terms("asyncmqd.8", "LOG")))
    told = {event: level or "info" for event, level in entries}
    assert told.keys() == logged()
    assert told == {event: EVENT_LEVELS.get(event, "info") for event in told}


def test_every_signal_and_exit_code_is_there() -> None:
    signals = ", ".join(terms("asyncmqd.8", "SIGNALS")).split(", ")
    assert sorted(signals) == sorted(number.name.removeprefix("SIG") for number in SIGNALS)
    codes = [str(OK), str(FAILED), "2", str(BAD_CONFIG)]
    assert terms("asyncmqd.8", "EXIT STATUS") == codes
    assert terms("asyncmq.1", "EXIT STATUS") == codes


# ------------------------------------------------------------------ the examples


def test_the_example_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "queues.toml"
    path.write_text(example("queues.toml.5", "EXAMPLES"))
    settings = load(path, {})
    assert settings.queues["mail"].timeout == 300
    assert settings.queues["reports"].retries == 3


def test_the_variables_of_the_example_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "queues.toml"
    path.write_text(example("queues.toml.5", "EXAMPLES"))
    lines = example("queues.toml.5", "ENVIRONMENT").splitlines()
    variables = {name: value.strip("'") for name, _, value in (row.partition("=") for row in lines)}
    assert load(path, variables).queues["mail"].concurrency == 5


def test_the_errors_shown_are_the_real_ones(tmp_path: Path) -> None:
    path = tmp_path / "queues.toml"
    path.write_text('backend = "memory://"' + "\n" * 5 + "[queues.mail]\nconcurency = 5\n")
    with pytest.raises(ConfigErrors) as caught:
        load(path, {"ASYNCMQD_LOG_LEVEL": "loud"})
    shown = example("queues.toml.5", "ERRORS")
    assert str(caught.value).replace(str(tmp_path), "/etc/asyncmq") == shown.strip()


# ------------------------------------------------------------------ shown


@pytest.mark.parametrize("page", PAGES)
def test_it_is_shown_without_a_warning_by_what_is_here(page: str) -> None:
    tools = {
        "groff": ["groff", "-man", "-ww", "-Tutf8", "-z"],
        "man": ["man", "--warnings", "--encoding=utf8", "--local-file"],
        "mandoc": ["mandoc", "-Tlint", "-Wwarning"],
    }
    for tool, command in tools.items():
        if shutil.which(tool):
            shown = subprocess.run([*command, MAN / page], capture_output=True, text=True)
            assert (shown.returncode, shown.stderr) == (0, ""), tool


@pytest.mark.parametrize("page", PAGES)
def test_no_text_is_taken_for_a_request(page: str) -> None:
    """A line of a page begins with no stray request: all that do are of the known ones."""
    requests = set(re.findall(r"^[.'](\\\"|\w+)?", (MAN / page).read_text(), re.MULTILINE))
    assert requests <= {'\\"', "TH", "SH", "SS", "PP", "TP", "in", "nf", "fi"}


def test_markdown_that_would_be_lost_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "docs")
    monkeypatch.delitem(sys.modules, "roff", raising=False)
    import roff

    for unknown in ("1. one\n", "> quoted\n", "- no term\n", "[a](b)\n"):
        with pytest.raises(ValueError, match=r"^docs/man: "):
            roff.render(f"# A\n\n{unknown}")
    assert roff.render("# A\n\n.dot `a-b` it's\n") == '.SH "A"\n\\&.dot \\fBa\\-b\\fR it\\(aqs\n'
