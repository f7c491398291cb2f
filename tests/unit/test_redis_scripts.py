"""Rules that every Lua file keeps."""

from __future__ import annotations

import re
from importlib import resources

import pytest

import asyncmqd.backends.redis
from asyncmqd.backends.redis.scripts import call, teach
from asyncmqd.domain.states import State

FILES = {
    each.name: each.read_text("utf-8")
    for each in resources.files(asyncmqd.backends.redis).iterdir()
    if each.name.endswith(".lua")
}
SCRIPTS = [name for name in FILES if not name.startswith("_")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_header_names_purpose_keys_and_reply(name: str):
    header = FILES[name].partition("\nlocal ")[0]
    assert header.startswith("-- ")
    for part in ("-- needs:", "-- KEYS: "):
        assert part in header
    assert ("ARGV" in FILES[name]) == ("-- ARGV: " in header or "_changes" in header)


@pytest.mark.parametrize("name", FILES)
def test_no_file_knows_a_state(name: str):
    code = re.sub(r"--.*", "", FILES[name])
    literals = set(re.findall(r"'([^']*)'", code))
    assert not literals & set(State)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_short(name: str):
    assert len(FILES[name].splitlines()) <= 55


def test_a_call_can_be_sent_with_the_text_instead():
    command = call("now", ["key"])
    assert command[0] == "EVALSHA"
    taught = teach(command)
    assert taught[0] == "EVAL"
    assert "return clock()" in str(taught[1])
    assert taught[2:] == command[2:]
