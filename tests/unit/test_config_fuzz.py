"""Whatever a file or a variable holds, `load` gives Settings or ConfigErrors, and nothing else."""

import re
import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.line_numbers import Places
from asyncmqd.config.load import load
from asyncmqd.config.models import Settings
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.schedule import Repeatable

SAMPLE = (Path(__file__).parents[2] / "etc/asyncmq/queues.toml").read_text()
FULL = SAMPLE + (
    "[queues.mail]\nrate_limit = 100\ntimeout = '5m'\nscanners = ['a.b:c']\n"
    "[[queues.mail.repeatables]]\ntask = 'a'\ncron = '0 3 * * *'\nargs = [1, {x = 2}]\n"
    '"quoted" = """\nlong\n"""\n'
)
KEYS = [
    *Settings.__struct_fields__,
    *QueueOptions.__struct_fields__,
    *Repeatable.__struct_fields__,
]
PIECES = st.one_of(
    st.sampled_from([
        "\n", "=", "[", "]", "[[", "]]", "{", "}", '"', "'", '"""', ",", ".", "#", "\\", "\0",
        "\r", "nan", "-inf", "1e400", "0x" + "F" * 5_000, "9" * 5_000, "[" * 2_000, "\ufeff",
        "[queues.mail]\n", "[defaults]\n", "2026-02-30", "07:32:00", "true", '"\\ud800"', "{}",
    ]),
    st.sampled_from([f"{key} = " for key in KEYS]),
    st.text(max_size=8),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.integers().map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.sampled_from(["true", "nan", "inf", "07:32:00", "2026-01-01", '""', "'5m'", "'@daily'"]),
        st.from_regex(r"'[ -&(-~]{0,20}'", fullmatch=True),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        inner.map(lambda value: f"{{ x = {value} }}"),
    ),
    max_leaves=4,
)


def check(path, environ):
    """Load; anything but Settings and well-formed ConfigErrors fails the test."""
    try:
        load(path, environ)
    except ConfigErrors as caught:
        errors = caught
    else:
        return
    lines = str(errors).splitlines()
    assert lines
    assert len(lines) == len(errors.errors)
    for line in lines:
        assert line.isprintable()
        assert re.fullmatch(r"(ENV:\S+|.*:[0-9]+): .*: expected .+, got .+", line), line


@st.composite
def mutated(draw):
    text = FULL
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.sampled_from([0, 0, 1, 5, 40]))
        text = text[:at] + draw(PIECES) + text[at + cut :]
    return text


@given(text=mutated())
def test_mutations_of_the_sample(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "queues.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    check(path, {})


@given(data=st.binary(max_size=200))
def test_any_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "queues.toml"
    path.write_bytes(data)
    check(path, {"CREDENTIALS_DIRECTORY": str(path.parent)})


@given(
    table=st.sampled_from(["", "[defaults]\n", "[queues.mail]\n", "[[queues.mail.repeatables]]\n"]),
    pairs=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
)
def test_any_value_for_any_key(tmp_path_factory, table, pairs):
    path = tmp_path_factory.mktemp("fuzz") / "queues.toml"
    lines = [f"{key} = {value}\n" for key, value in pairs.items() if key != "queues" or table]
    path.write_text(table + "".join(lines))
    check(path, {})


@given(
    name=st.one_of(
        st.sampled_from([f"ASYNCMQD_{key.upper()}" for key in KEYS]),
        st.sampled_from([f"ASYNCMQD_QUEUES__DEFAULT__{key.upper()}" for key in KEYS]),
        st.from_regex(r"ASYNCMQD_[A-Z_]{0,12}(__[A-Z0-9_]{1,8}){0,3}", fullmatch=True),
    ),
    value=st.one_of(VALUES, st.text(max_size=10), st.just("[" * 5_000), st.just("9" * 5_000)),
)
def test_any_variable(tmp_path_factory, name, value):
    path = tmp_path_factory.getbasetemp() / "variables.toml"
    path.write_text(SAMPLE)
    check(path, {name: value})


@given(text=mutated())
def test_every_key_of_a_valid_text_is_located(text):
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError):
        data, text = tomllib.loads(FULL), FULL
    places = Places(text.replace("\r\n", "\n"))
    lines = text.replace("\r\n", "\n").split("\n")
    for path, name in keys_of(data, ()):
        line = places.line(path)
        assert line is not None, path
        if re.fullmatch(r"[A-Za-z0-9_-]+", name):
            assert name in lines[line - 1], (path, line)


def keys_of(value, path):
    if isinstance(value, dict):
        for name, child in value.items():
            yield (*path, name), name
            yield from keys_of(child, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from keys_of(child, (*path, index))
