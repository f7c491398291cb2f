"""Rules that every Lua file keeps."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

import asyncmqd.backends.redis
from asyncmqd.backends.redis.scripts import call, teach
from asyncmqd.domain.states import State
from tests.servers import KINDS, RedisServer

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


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_has_one_time(kind: str, tmp_path: Path):
    """Redis 6 itself tells another at each call, and a loaded machine makes them differ."""
    look_twice = "local first = clock()\nfor _ = 1, 100000 do end\nreturn {first, clock()}"
    with RedisServer(kind, tmp_path) as server, server.client() as client:
        first, second = client.eval(FILES["_clock.lua"] + look_twice, 0)
    assert first == second
