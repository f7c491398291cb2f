"""Each file in broken/ begins with what is wrong in it, as `#! LINE: KEY: expected X, got Y`."""

import re
from pathlib import Path

import pytest

from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.load import load

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.toml"))
ENVIRON = {"RUNTIME_DIRECTORY": "/run/asyncmqd"}


def errors_of(path):
    with pytest.raises(ConfigErrors) as caught:
        load(path, ENVIRON)
    return caught.value


def test_there_are_as_many_as_promised():
    assert len(BROKEN) >= 45


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_file_says_exactly_what_is_wrong(path):
    promised = [
        f"{path}:{line.removeprefix('#! ')}"
        for line in path.read_text().splitlines()
        if line.startswith("#! ")
    ]
    assert promised
    assert str(errors_of(path)).splitlines() == promised


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_error_has_the_one_form_and_names_a_line_of_the_file(path):
    lines = len(path.read_text().splitlines())
    for line in str(errors_of(path)).splitlines():
        match = re.fullmatch(rf"{re.escape(str(path))}:(\d+): ([^:]+): expected .+, got .+", line)
        assert match, line
        assert 1 <= int(match[1]) <= lines
        assert "hunter2" not in line


def test_errors_are_in_the_order_of_the_file():
    [path] = [path for path in BROKEN if path.stem == "many_at_once"]
    lines = [error.place.line for error in errors_of(path).errors]
    assert lines == sorted(lines)
    assert len(lines) >= 7
