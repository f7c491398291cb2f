"""Values as pages show them."""

from __future__ import annotations

import re

import pytest

from asyncmqd.admin.history import Ends
from asyncmqd.web.dashboard import charts, words
from asyncmqd.web.dashboard.pages.job import part_done
from asyncmqd.web.dashboard.visit import address, job_address, local_path


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, words.NOTHING),
        (0.0123, "12.3 ms"),
        (0.25, "0.25 s"),
        (42.4, "42 s"),
        (125.0, "2 min 5 s"),
        (7_500.0, "2 h 5 min"),
        (90_000.0, "1 d 1 h"),
        (1_000_000.0, "11 d"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


def test_numbers() -> None:
    space = "\N{NARROW NO-BREAK SPACE}"
    assert words.number(1_234_567) == f"1{space}234{space}567"
    assert words.shown(words.number(1_234_567)) == f"1{space}234{space}567"  # in a page, too
    assert words.number(0.5) == "0.5"
    assert words.number(None) == words.NOTHING


def test_sentences_have_code_and_moments() -> None:
    assert words.ticks("run `a <b>` now") == "run <code>a &lt;b&gt;</code> now"
    assert words.ticks("one ` alone") == "one ` alone"
    said = words.ticks("since 2026-11-29T20:15:01.402Z by <ann>")
    assert '<time datetime="2026-11-29T20:15:01.402Z" title="2026-11-29 20:15:01 UTC">' in said
    assert "&lt;ann&gt;" in said


def test_how_long_something_lasts_is_told_without_a_script_too() -> None:
    said = words.moment("2026-11-29T20:15:01.402Z", "for")
    assert said.endswith(' data-as="for">Since 2026-11-29 20:15:01</time>')


def test_long_texts_are_cut() -> None:
    assert len(words.value(["x" * 100_000])) < words.LONGEST + 100
    assert words.lines("x" * 100_000 + "the end").endswith("the end")
    assert words.value({"n": 2**63 + 1}) == f"{{&#34;n&#34;: {2**63 + 1}}}"


def test_only_our_own_pages_are_gone_back_to() -> None:
    assert local_path("/queues/mail?state=failed") == "/queues/mail?state=failed"
    for bad in ("//evil.example.org/", "/\\evil.example.org", "http://evil.example.org", "", "/\n"):
        assert local_path(bad) == "/"
    assert address("/jobs", state="failed", key=None, task="") == "/jobs?state=failed"
    assert job_address("mail", 'a"&b') == "/job?queue=mail&id=a%22%26b"


@pytest.mark.parametrize(
    ("progress", "part"),
    [
        (40, 0.4),
        ({"done": 1, "of": 4}, 0.25),
        ({"done": 1, "total": 2}, 0.5),
        ({"done": 5, "of": 4}, None),
        ({"done": 1, "of": 0}, None),
        (True, None),
        ("half", None),
        (None, None),
    ],
)
def test_progress_of_a_known_form_is_a_bar(progress: object, part: float | None) -> None:
    assert part_done(progress) == part


def test_a_bar_is_as_high_as_what_happened_in_a_minute() -> None:
    end = charts.unix("2026-11-29T02:00:00Z")
    axis = charts.Axis(end - 7_200, end)
    one = Ends(charts.unix("2026-11-29T00:30:00Z"), 30, 300, 0)
    other = Ends(charts.unix("2026-11-29T01:30:00Z"), 5, 50, 0)
    drawn = str(charts.spark([one, other], axis))
    assert drawn.count("v-22h") == 2  # ten in each minute
    assert "350 completed, 0 failed" in drawn
    assert "style" not in drawn


def test_a_gap_is_a_gap_and_one_point_is_seen() -> None:
    axis = charts.Axis(0.0, 100.0)
    line = charts.Line("waits", "blue", [(10.0, 1.0), (20.0, None), (30.0, 2.0), (40.0, 4.0)])
    drawn = str(charts.lines("Waiting", [line], axis, "s", marks=[(50.0, "warn"), (500.0, "bad")]))
    assert drawn.count("h.01") == 2
    assert re.findall('class="(mark[^"]*)"', drawn) == ["mark warn"]
    assert "Waiting, at most 4 s" in drawn
