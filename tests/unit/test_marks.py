"""When a process that is listed no more has died, and when nobody can tell."""

from __future__ import annotations

from asyncmqd.runtime.process.marks import Listed


def test_who_is_listed_no_more_has_died() -> None:
    listed = Listed()
    assert listed.missing({"a", "b", "c"}, 0.0) == []
    assert listed.missing({"b", "d"}, 10.0) == ["a", "c"]
    assert listed.missing({"b", "d"}, 20.0) == []


def test_after_an_outage_nobody_can_tell_who_has_died() -> None:
    listed = Listed()
    listed.missing({"a", "b"}, 0.0)
    assert listed.missing(set(), 60.0) == []
    assert listed.missing({"a"}, 70.0) == []
    assert listed.missing(set(), 80.0) == ["a"]
