"""When a former self is dead for certain, and when nobody can say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from asyncmqd.domain.former_self import Life, judge
from asyncmqd.domain.heartbeat import serving_of
from asyncmqd.runtime.own_identity import own_life, start_of

OWN = Life(host="h", pid=7, start=70, boot="b", pid_namespace="n", lock="1:2")
FORMER = Life(host="h", pid=5, start=50, boot="b", pid_namespace="n", lock="1:1")


@pytest.mark.parametrize(
    ("former", "start", "verdict"),
    [
        ({}, 0, "dead"),
        ({}, 51, "dead"),  # its pid was given to another process
        ({}, 50, "alive"),
        ({}, None, "unknown"),  # another user's
        ({"lock": "1:2"}, 50, "dead"),  # what is killed may take a moment to go
        ({"lock": "1:2", "boot": "other"}, 0, "unknown"),
        ({"boot": "other"}, 0, "unknown"),  # a clone, or this host before it was started again
        ({"boot": ""}, 0, "unknown"),
        ({"pid_namespace": "other"}, 0, "unknown"),  # another container
        ({"pid_namespace": ""}, 0, "unknown"),
        ({"pid_namespace": "other", "lock": "1:2"}, 0, "dead"),  # it shared our directory
        ({"pid_namespace": "", "lock": ""}, 0, "unknown"),
    ],
)
def test_death_is_proven_or_it_is_not(former, start, verdict):
    former = Life(**{**{f: getattr(FORMER, f) for f in FORMER.__struct_fields__}, **former})
    assert judge(former, OWN, lambda _: start) == verdict


@pytest.mark.parametrize("info", [b"", b"\xff", b"[]", b'{"pid": "x"}', b'{"host": "h", "pid": 1}'])
def test_what_tells_nothing_proves_nothing(info):
    assert judge(serving_of(info), OWN, lambda _: 0) == "unknown"


def test_a_process_is_told_from_the_next_one_of_its_pid():
    own = own_life()
    assert own.pid == os.getpid()
    assert all((own.host, own.start, own.boot, own.pid_namespace))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = start_of(child.pid)
    assert began is not None
    assert began >= own.start
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_of(child.pid) == 0, "it is dead, though not reaped"
    child.communicate()
    assert start_of(child.pid) == 0
