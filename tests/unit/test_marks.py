"""When a process that is listed no more has died; what tells one release from another."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.runtime.process.marks import Listed, code_stamp


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


def stamp_of(place: Path) -> str:
    """Of a start with the package `shop` that is in that directory."""
    sys.path.insert(0, str(place))
    importlib.invalidate_caches()
    registry = Registry()
    try:
        mail = importlib.import_module("shop.mail")
        registry.add(TaskDef(mail.send, "send", TaskOptions()))
        return code_stamp(registry)
    finally:
        sys.path.remove(str(place))
        for name in ("shop.mail", "shop.texts", "shop"):  # others have a module of that name, too
            sys.modules.pop(name, None)


def test_a_release_is_known_by_what_is_in_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = tmp_path / "a" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "texts.py").write_text("HELLO = 1\n")
    (package / "mail.py").write_text("from shop import texts\n\ndef send() -> None: ...\n")
    first = stamp_of(tmp_path / "a")
    copy = tmp_path / "b" / "shop"
    shutil.copytree(package, copy)
    os.utime(copy / "mail.py", (1, 1))
    assert stamp_of(tmp_path / "b") == first != ""
    (copy / "texts.py").write_text("HELLO = 2\n")
    assert stamp_of(tmp_path / "b") != first


def test_without_code_of_an_application_there_is_no_stamp() -> None:
    registry = Registry()
    registry.add(TaskDef(Listed, "ours", TaskOptions()))
    assert code_stamp(registry) == ""
