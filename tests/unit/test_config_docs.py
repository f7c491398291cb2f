"""docs/configuration.md says what the models say, and its examples are true."""

import importlib.util
import re
from pathlib import Path

import pytest

from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.load import load
from asyncmqd.config.models import LIVE_KEYS, Settings
from asyncmqd.config.otel import Otel
from asyncmqd.config.tables import keys_of
from asyncmqd.config.webhooks import Webhook
from asyncmqd.domain.queue_options import FIXED_KEYS, KeyOptions, QueueOptions
from asyncmqd.domain.schedule import Repeatable

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "configuration.md").read_text()


def generator():
    spec = importlib.util.spec_from_file_location("make", DOCS / "make_configuration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(title):
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def example(language, title=None):
    text = section(title) if title else PAGE
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1]


def test_the_tables_are_those_of_the_models():
    assert generator().render(PAGE) == PAGE, "run `python docs/make_configuration.py`"


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("Top-level keys", Settings),
        ("Keys of a queue", QueueOptions),
        ("Keys for the jobs of one key", KeyOptions),
        ("Keys of a repeatable", Repeatable),
        ("Keys of otel", Otel),
        ("Keys of a webhook", Webhook),
    ],
)
def test_every_key_has_a_row(title, model):
    rows = re.findall(r"^\| `(\w+)` \|.*\| .+ \| .+ \|$", section(title), re.MULTILINE)
    assert rows == list(keys_of(model))


def test_what_a_reload_applies_is_named():
    live = re.search(r"A reload applies (.*?);", PAGE, re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)`", live)) == LIVE_KEYS
    start = re.search(r"said of queues\. (.*?) are read at start", PAGE, re.DOTALL)[1]
    others = set(Settings.__struct_fields__) - LIVE_KEYS - {"queues", "defaults"}
    assert set(re.findall(r"`(\w+)`", start)) == others
    workers = re.search(r"in place.*?only (.*?)\s+start", PAGE, re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)`", workers)) == FIXED_KEYS


def test_the_smallest_example_works(tmp_path):
    path = tmp_path / "queues.toml"
    path.write_text(example("toml"))
    assert list(load(path, {}).queues) == ["mail"]


def test_the_variables_of_the_example_work(tmp_path):
    path = tmp_path / "queues.toml"
    path.write_text(example("toml"))
    lines = example("sh", "Environment and credentials").splitlines()
    settings = load(path, {name: value.strip("'") for name, _, value in map(split, lines)})
    assert settings.log_level == "debug"
    assert settings.tasks == ("myapp.tasks",)
    assert (settings.queues["mail"].concurrency, settings.queues["mail"].retries) == (5, 3)


def split(line):
    return line.partition("=")


def test_the_errors_shown_are_the_real_ones(tmp_path):
    main = tmp_path / "queues.toml"
    main.write_text("\n" * 5 + "[queues.mail]\nconcurency = 5\n")
    (tmp_path / "queues.d").mkdir()
    (tmp_path / "queues.d/10.toml").write_text('backend = "memory://"\nlease = "soon"\n')
    with pytest.raises(ConfigErrors) as caught:
        load(main, {"ASYNCMQD_LOG_LEVEL": "loud"})
    assert str(caught.value).replace(str(tmp_path), "/etc/asyncmq") == (
        example("text", "Errors").strip()
    )
