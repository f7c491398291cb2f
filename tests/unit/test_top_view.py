"""What `asyncmq top` shows: its lines are a function of what is known and of a size."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from asyncmqd.admin.causes import Cause, Own, of_daemon
from asyncmqd.admin.overview import DaemonLine, JobLine, Overview, QueueLine, Wanted
from asyncmqd.admin.queues import PauseView
from asyncmqd.cli.top.keys import press
from asyncmqd.cli.top.panes import number, rate, span
from asyncmqd.cli.top.position import Act, Position
from asyncmqd.cli.top.view import Seen, cells, screen
from asyncmqd.domain.states import State

HOSTILE = (
    "\x1b[2J\x1b]0;x\x07",
    "two\nlines\r",
    "日本語" * 40,
    "\u202eabc",
    "a" + "\u0301" * 900,
    "\ud800",
)


def queue(name: str, **fields: object) -> QueueLine:
    usual = dict.fromkeys(("waiting", "parked", "delayed", "blocked", "active", "failed"), 0)
    others = {"slots": 20, "daemons": 1, "oldest": None, "rate": None, "pause": None}
    return QueueLine(name=name, **{**usual, **others, **fields})


def job(id: str, queue: str = "web", **fields: object) -> JobLine:
    usual = {"task": "shop.send", "state": "active", "key": None, "attempt": 1, "worker": "w"}
    return JobLine(id=id, queue=queue, **{**usual, "seconds": 5.0, "error": None, **fields})


PAUSED = PauseView(since="2026-11-02T02:10:00.000Z", by="ann", reason="provider is down")
CAUSE = Cause(
    name="paused",
    sentence="Queue mail is paused since 2026-11-02T02:10:00.000Z by ann: provider is down.",
    since="2026-11-02T02:10:00.000Z",
    command="asyncmq queue resume mail",
    queue="mail",
)
OVERVIEW = Overview(
    store="redis://127.0.0.1:6379/0",
    now="2026-11-02T02:52:00.123Z",
    causes=[CAUSE, replace(CAUSE, queue="web")],
    queues=[
        queue("mail", waiting=1_234_567, delayed=3, failed=4, oldest=2520.0, pause=PAUSED),
        queue("old", waiting=4, oldest=90.0, slots=0, daemons=0),
        queue("web", active=2, oldest=0.4, rate=12.345),
    ],
    daemons=[
        DaemonLine(
            id="web1-queues",
            host="web1",
            pid=4242,
            running=2,
            slots=40,
            queues=("mail", "web"),
            up=180_000.0,
            silent=3.0,
            degraded="",
            memory=None,
            phase=None,
            generation=None,
            unit=None,
            restarts=None,
        )
    ],
    state=State.ACTIVE,
    jobs=[job("7d3f9a1c", seconds=241.0), job("8e", attempt=3, key="t7")],
    total=2,
)
FIRST = Position()
SEEN = Seen(overview=OVERVIEW, causes=OVERVIEW.causes, store=OVERVIEW.store, by="ann")


def shown(seen: Seen = SEEN, position: Position = FIRST, size: tuple[int, int] = (80, 24)) -> str:
    return "\n".join(line.text.rstrip() for line in screen(seen, position, *size))


def at(*keys: str, begin: Position = FIRST, overview: Overview = OVERVIEW) -> Position:
    """Where somebody is after these keys."""
    for key in keys:
        begin, _ = press(begin, key, overview)
    return begin


SCREEN = """\
! mail: Queue mail is paused since 2026-11-02T02:10:00.000Z by ann: provider is
down. [asyncmq queue resume mail] (w: 1 more)
2026-11-02T02:52:00Z  1 daemon  1234571 waiting  2 active  4 failed  redis://12~
  QUEUES 3                        WAITING DELAYED    ACTIVE FAILED>OLDEST RATE/S
> mail                   paused     1234k       3      0/20      4    42m      -
  old                    unserved       4       0         0      0    90s      -
  web                                   0       0      2/20      0     0s     12











 >DAEMONS 1               HOST               ACTIVE    UP  SEEN
  web1-queues             web1                 2/40    2d    3s mail,web
  ACTIVE JOBS 2          QUEUE          TASK                           TRY> RUNS
  7d3f9a1c               web            shop.send                        1    4m
  8e                     web            shop.send                        3    5s
? keys  q quit  Tab pane  / filter  o sort  s state  p pause  r retry  c cancel"""


def test_a_screen_of_80_columns_and_24_lines() -> None:
    assert shown() == SCREEN


def test_of_a_screen_no_line_is_too_long_and_nothing_reaches_the_terminal_raw() -> None:
    bad = [(text, text[::-1]) for text in HOSTILE]
    causes = [replace(CAUSE, queue=a, sentence=b * 20, command=a) for a, b in bad]
    overview = replace(
        OVERVIEW,
        store=HOSTILE[0],
        causes=causes,
        queues=[queue(a, waiting=10**15, oldest=1e12, rate=1e9) for a, _ in bad],
        daemons=[
            replace(OVERVIEW.daemons[0], id=a, host=b, queues=bad[0], degraded=a) for a, b in bad
        ],
        jobs=[job(a, b, task=a, key=b, error=a, seconds=1e9, attempt=10**9) for a, b in bad],
    )
    filtered = replace(at("/"), filter="\x1b日" * 30)
    asked = replace(Position(), act=Act("pause", HOSTILE[0], "", "\x1b日" * 50))
    positions = [Position(), at("?"), at("w"), at("s"), filtered, asked]
    sizes = [*product((1, 7, 40, 80), (1, 3, 8, 24)), (0, 0)]
    for position, (width, height) in product(positions, sizes):
        seen = Seen(
            overview=overview, causes=causes, age=99.0, old=True, store=HOSTILE[1], by="\x1b"
        )
        lines = screen(seen, position, width, height)
        assert len(lines) == height
        assert all(line.text.isprintable() for line in lines)
        assert {cell_len(line.text) for line in lines} <= {width}


@pytest.mark.parametrize("text", HOSTILE)
def test_causes_of_any_text_fit(text: str) -> None:
    seen = replace(SEEN, causes=[replace(CAUSE, queue=text, sentence=text * 20, command=text)])
    for width, height in ((80, 24), (7, 4), (1, 3)):
        lines = screen(seen, FIRST, width, height)
        assert all(line.text.isprintable() for line in lines)
        assert len(lines) == height
        assert {cell_len(line.text) for line in lines} == {width}


def test_since_when_and_the_command_are_shown_however_long_the_sentence_is() -> None:
    long = replace(CAUSE, sentence="日本 " * 4000)
    text = shown(replace(SEEN, causes=[long])).split("\n2026-11-02T02:52:00Z")[0]
    assert text.startswith("! mail: 日本")
    assert "since 2026-11-02T02:10:00.000Z. [asyncmq queue resume mail]" in text.replace("\n", " ")
    assert len(text.splitlines()) <= 4


def test_a_store_that_is_down_is_never_a_store_without_jobs() -> None:
    causes = of_daemon(Own(store_error="connection refused", store_since=1793585520.0), [CAUSE])
    lines = shown(replace(SEEN, causes=causes, age=34.0, old=True)).splitlines()
    assert (
        lines[0] == "! degraded: connection refused, since 2026-11-02T02:12:00.000Z. [asyncmq store"
    )
    assert lines[2].startswith(
        "FIGURES OF 2026-11-02T02:52:00Z, 34s OLD  1 daemon  1234571 waiting"
    )
    assert " 1234k" in "\n".join(lines)
    never = shown(Seen(causes=causes[:1], store="redis://x"))
    assert "redis://x: no figures yet" in never
    assert "QUEUES" not in never
    assert " 0 " not in never


def test_columns_are_left_out_where_there_is_no_room_for_names() -> None:
    narrow = shown(size=(40, 24))
    assert "> mail" in narrow
    assert "42m" in narrow
    assert "RATE" not in narrow


def test_the_pane_where_somebody_is_has_what_the_others_leave() -> None:
    many = replace(OVERVIEW, queues=[queue(f"q{number_:03}") for number_ in range(200)])
    seen = replace(SEEN, overview=many)
    assert shown(seen).count("\n  q") == 13
    assert "7d3f9a1c" in shown(seen)
    low = shown(seen, at("tab", "tab", overview=many), (80, 10))
    assert "7d3f9a1c" in low
    assert "q000" not in low
    last = shown(seen, at("end", overview=many))
    assert "> q199" in last


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("mail", 6, "mail  "),
        ("mailing", 4, "mai~"),
        ("日本", 3, "日~"),
        ("日本", 2, " ~"),
        ("a\x1bb", 6, "a\\x1bb"),
        ("e\u0301", 8, "e\\u0301 "),
        ("x", 0, ""),
    ],
)
def test_a_text_has_so_many_cells(text: str, width: int, expected: str) -> None:
    assert cells(text, width) == expected


def test_numbers_have_their_width() -> None:
    numbers = (0, 99_999, 100_000, 9_999_999, 10_000_000, 10**10)
    assert [*map(number, numbers)] == ["0", "99999", "100k", "9999k", "10M", "10G"]
    assert [*map(span, (None, 0.4, 119.0, 120.0, 7200.0, 172_800.0))] == [
        "-",
        "0s",
        "119s",
        "2m",
        "2h",
        "2d",
    ]
    assert [*map(rate, (None, 0.04, 9.94, 12.3, 123_456.0))] == ["-", "0.0", "9.9", "12", "123k"]


# ---------------------------------------------------------------------- keys


def test_the_row_that_is_chosen_stays_wherever_it_goes() -> None:
    position = at("down")  # old, the second by age
    assert position.row(OVERVIEW).name == "old"
    turned = replace(OVERVIEW, queues=[queue("new", oldest=1e6), *OVERVIEW.queues])
    assert position.row(turned).name == "old"
    assert "> old" in shown(replace(SEEN, overview=turned), position)
    gone = replace(OVERVIEW, queues=[each for each in OVERVIEW.queues if each.name != "old"])
    assert position.row(gone).name == "web"


def test_it_asks_before_it_acts_and_says_by_whom() -> None:
    position = at("down", "p")
    foot = shown(SEEN, position).splitlines()[-1]
    assert foot == "pause queue old, as ann (Enter: do it, Esc: no)? reason: _"
    typed = at(*"too late", "backspace", begin=position)
    assert press(typed, "enter", OVERVIEW)[1] == Act("pause", "old", "", "too lat")
    assert press(typed, "escape", OVERVIEW) == (
        replace(typed, act=None, said="nothing was done"),
        None,
    )
    resumed = at("p")
    assert shown(SEEN, resumed).splitlines()[-1] == "[y/n] resume queue mail, as ann?"
    assert press(resumed, "y", OVERVIEW)[1] == Act("resume", "mail")
    assert press(resumed, "x", OVERVIEW)[1] is None


@pytest.mark.parametrize(("key", "verb"), [("c", "cancel"), ("r", "retry")])
def test_jobs_are_acted_on_by_id(key: str, verb: str) -> None:
    position = at("tab", "tab", "down", key)
    assert shown(SEEN, position).splitlines()[-1] == f"[y/n] {verb} job 8e of queue web, as ann?"
    # What is listed may change before the answer: it is for the job that was asked about.
    other = replace(OVERVIEW, jobs=[job("new"), job("newer")])
    assert press(position, "y", other)[1] == Act(verb, "web", "8e")
    assert "is for jobs" in at(key).said
    assert at("tab", "tab", "p").act is None


def test_jobs_of_one_queue_and_of_other_states() -> None:
    position = at("down", "enter")
    assert (position.pane, position.wanted) == ("jobs", Wanted(State.ACTIVE, "old"))
    assert "queue: old" in shown(SEEN, position)
    states = [at("s", begin=position).wanted.state, at("S", begin=position).wanted.state]
    order = list(State)
    here = order.index(State.ACTIVE)
    assert states == [order[here + 1], order[here - 1]]
    assert at("escape", begin=position).wanted == Wanted()


def test_filter_and_sort() -> None:
    position = at("/", *"OL", "enter")
    assert [each.name for each in position.rows(OVERVIEW, "queues")] == ["old"]
    assert at("escape", begin=position).filter == ""
    by_name = at("o", "o")  # after OLDEST come RATE/S and NAME
    assert [each.name for each in by_name.rows(OVERVIEW, "queues")] == ["mail", "old", "web"]
    turned = at("O", begin=by_name)
    assert [each.name for each in turned.rows(OVERVIEW, "queues")] == ["web", "old", "mail"]


def test_pages_are_left_by_any_key_and_scrolled() -> None:
    assert "the next pane" in shown(SEEN, at("?"))
    assert at("?", "x").page == ""
    assert press(at("?"), "q", OVERVIEW)[1] == "quit"
    assert "  until" not in shown(SEEN, at("w"))
    assert shown(SEEN, at("w")).count("! web") == 1
    small = (80, 8)
    assert shown(SEEN, at("?", "end"), small) != shown(SEEN, at("?"), small)
    assert at("?", "end", "up").page == "keys"


def test_before_the_first_answer_keys_do_no_harm() -> None:
    for key in ("p", "r", "c", "enter", "down", "o", "O", "s", "tab", "/", "escape", "w", "?"):
        position, command = press(Position(), key, None)
        assert command is None
        assert shown(Seen(store="redis://x"), position)
