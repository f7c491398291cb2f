"""Every option of a job, told once: what it takes, its unit and default, and the words of errors.

Python calls, `@task`, schedules, TOML, the command line and the decoder of payloads all read this
table. So what a producer accepts is what every worker can decode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from asyncmqd.domain.did_you_mean import nearest

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
LOWEST_PRIORITY = 255
MOST_RETRIES = 1_000_000
LEAST_PERIOD = 0.01  # seconds
MAX_DELAY = 10 * 366 * 86_400.0  # ten years, in seconds: whoever asks for more meant milliseconds
QUEUE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}")
JOB_ID = re.compile(r"[!-~]{1,128}")  # printable ASCII without blanks

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?\s*")
_LONGEST_SHOWN = 60  # characters
_LONGEST_NAME = 200  # characters
_LONGEST_UNIQUE = 1_000  # characters
_LONGEST_KEY = 128  # characters


class Kind(msgspec.Struct, frozen=True):
    """A kind of value. `expected` completes "expected ..."; `unit` is for documents.

    `read` returns the value to keep, and raises ValueError for any other.
    """

    expected: str
    read: Callable[[Any], Any]
    unit: str = ""

    def check(self, value: Any) -> Any:
        """The value to keep. Raises ValueError "expected X, got Y"."""
        try:
            return self.read(value)
        except ValueError:
            raise ValueError(f"expected {self.expected}, got {shown(value)}") from None


def shown(value: Any) -> str:
    """The value as an error shows it: short. Never raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - of the application, or an int of thousands of digits
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


# ---------------------------------------------------------------------- kinds


def whole(low: int, high: int, unit: str = "") -> Kind:
    """A whole number from `low` to `high`; True and 1.0 are none."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return int(value)

    return Kind(f"a whole number from {low} to {high}", read, unit)


def number(low: float, high: float, unit: str = "") -> Kind:
    """A number from `low` to `high`, whole or not."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError
        if not low <= value <= high:  # false for NaN
            raise ValueError
        return float(value)

    return Kind(f"a number from {low} to {high}", read, unit)


def period(low: float = 0.0) -> Kind:
    """Seconds, as a number, as text like "5m" or as a timedelta: from `low` to ten years."""
    in_range = number(low, MAX_DELAY)

    def read(value: Any) -> float:
        return float(in_range.read(value if type(value) is float else as_seconds(value)))

    least = f" of at least {low:g}" if low else ""
    return Kind(f"seconds{least} (a number or text like '5m', at most ten years)", read, "seconds")


def as_seconds(value: Any) -> Any:
    """Text like "5m" and timedeltas as a number of seconds; anything else as it is.

    Raises ValueError for text that names no period.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value)
    if not match:
        raise ValueError
    return float(match[1]) * _UNITS[match[2] or "s"]


def matching(pattern: re.Pattern[str], expected: str) -> Kind:
    """Text that a pattern matches from end to end."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError
        return value

    return Kind(expected, read)


def name(least: int = 1) -> Kind:
    """Text of `least` to 200 printable characters, without blanks around it."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not least <= len(value) <= _LONGEST_NAME:
            raise ValueError
        if value != value.strip() or not value.isprintable():
            raise ValueError
        return value

    return Kind(f"a name of {least} to {_LONGEST_NAME} printable characters", read)


def array() -> Kind:
    """A list or a tuple; what is kept is a list."""

    def read(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise ValueError
        return value if isinstance(value, list) else list(value)

    return Kind("an array of arguments", read)


def table() -> Kind:
    """A dict with text for keys."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise ValueError
        return value

    return Kind("a table of arguments by name", read)


def choice(*names: str) -> Kind:
    """One of some words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError
        return value

    listed = ", ".join(repr(name) for name in names[:-1])
    return Kind(f"{listed} or {names[-1]!r}", read)


def flag() -> Kind:
    """True or False."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    return Kind("true or false", read)


def printable(longest: int) -> Kind:
    """Text of 1 to so many printable characters."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise ValueError
        if not value.isprintable():
            raise ValueError
        return value

    return Kind(f"text of 1 to {longest:,} printable characters", read)


def unique_name() -> Kind:
    """True, False, or a name that jobs have in common."""
    text = printable(_LONGEST_UNIQUE)

    def read(value: Any) -> bool | str:
        return value if isinstance(value, bool) else str(text.read(value))

    return Kind(f"true, false or {text.expected}", read)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def rule(also: str = "", other: Callable[[Any], Any] = _text) -> Kind:
    """What tells of each job of a task what it is; `other` reads what is also taken."""

    def read(value: Any) -> Any:
        return value if isinstance(value, str) or callable(value) else other(value)

    return Kind(f"{also}the name of a parameter, or a function", read)


def moment() -> Kind:
    """A date and time with an offset from UTC, as text or as a datetime: what is kept is text."""

    def read(value: Any) -> str:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
        if found.utcoffset() is None or not 1970 < found.year < 9999:  # near those, none may count
            raise ValueError
        return found.isoformat()

    return Kind("a date and time with an offset like '2026-12-01T00:00:00+01:00'", read)


# ---------------------------------------------------------------------- the table


class Option(msgspec.Struct, frozen=True):
    """One option. None always means "not given"; `default` says what that comes to."""

    name: str
    kind: Kind
    default: str = ""
    meaning: str = ""

    def check(self, value: Any) -> Any:
        """The value to keep. Raises ValueError "NAME: expected X, got Y"."""
        try:
            return self.kind.read(value)
        except ValueError:
            raise self.refusal(value) from None

    def refusal(self, value: Any) -> ValueError:
        """The error that tells what was expected in place of `value`."""
        return ValueError(f"{self.name}: expected {self.kind.expected}, got {shown(value)}")


QUEUE = Option(
    "queue",
    matching(
        QUEUE_NAME, "a queue name of a-z, 0-9, _ and -, which starts with a letter or a digit"
    ),
    f'the task\'s, "{DEFAULT_QUEUE}" if it says none',
    "The queue of the job.",
)
TASK = Option("task", name(), "`module.function`", "The registered name of the task.")
ID = Option(
    "job_id",
    matching(JOB_ID, "1 to 128 printable ASCII characters without blanks"),
    "a new one",
    "An id of the producer's own. The job is enqueued once as long as the store has it.",
)
DELAY = Option("delay", period(), "0", "The job runs after this time at the earliest.")
PRIORITY = Option(
    "priority",
    whole(0, LOWEST_PRIORITY),
    f"the task's, {DEFAULT_PRIORITY} if it says none",
    "Lower numbers run first.",
)
RETRIES = Option(
    "retries",
    whole(0, MOST_RETRIES, "runs"),
    "the task's, then the queue's",
    "Runs after the first one.",
)
TIMEOUT = Option(
    "timeout", period(), "the task's, then the queue's", "The time limit of a run; 0: none."
)
TTL = Option("ttl", period(), "the task's", "Not started in this time, it expires; 0: never.")
UNIQUE = Option(
    "unique",
    unique_name(),
    "the task's",
    "A name, or true for task and arguments: of the jobs of one name, one at most is live.",
)
UNIQUE_WHILE = Option(
    "unique_while", choice("live", "waiting"), "live", "Until when a job holds its unique name."
)
UNIQUE_FOR = Option("unique_for", period(), "0", "Its name stays taken so long after the enqueue.")
ON_CONFLICT = Option(
    "on_conflict", choice("existing", "replace", "push", "again"), "existing", "If a name is held."
)
PUSH_FOR = Option("push_for", period(), "ten delays", "Pushes end so long after the first one.")
UNIQUE_TEXT = Option("unique", printable(_LONGEST_UNIQUE))
UNIQUE_BY = Option(
    "unique",
    rule("true, false, ", flag().read),
    "false",
    "What jobs of one task have in common that are alike.",
)
KEY = Option("key", printable(_LONGEST_KEY), "the task's", "Whose job it is: a customer's, say.")
KEY_BY = Option("key", rule(), "none", "What gives a job of the task its key.")
COST = Option("cost", whole(1, 1_000_000, "tokens"), "the task's, or 1", "Tokens of every rate.")
COST_BY = Option(
    "cost", rule(f"{COST.kind.expected}, ", COST.kind.read), "1", "What gives a job its cost."
)
EVERY = Option("every", period(LEAST_PERIOD), "none", "The period of a schedule.")
MISSED = Option(
    "missed", choice("skip", "once", "all"), "once", "What fires of instants that were missed."
)
ENABLED = Option("enabled", flag(), "true", "Whether a schedule fires at all.")
START = Option("start", moment(), "none", "No instant before it fires.")
END = Option("end", moment(), "none", "No instant after it fires.")
JITTER = Option("jitter", period(), "0", "How much later than its instant a job may become due.")
OVERLAP = Option(
    "overlap",
    choice("allow", "skip", "queue", "replace"),
    "allow",
    "Whether a job may begin beside the last one.",
)
CATCH_UP = Option("catch_up", period(), "1 h", "What was missed for longer does not fire.")
NAME = Option("name", name(0), "the task's name", "Tells schedules of one queue apart.")
ARGS = Option("args", array(), "none", "Positional arguments.")
KWARGS = Option("kwargs", table(), "none", "Arguments by name.")
EXECUTOR = Option("executor", choice("thread", "process"), "the queue's", "Where a function runs.")

ALONE = "expected `unique` beside it, which says which jobs are the same, got it alone"
"""What is wrong with `unique_for`, `on_conflict` and the like where nothing is unique."""

Table = dict[str, Option]
Moment = str | datetime
"""What is taken for a moment: RFC 3339 text, or a datetime that knows its zone."""
Seconds = float | str | timedelta
"""What is taken for a period: a number of seconds, text like "5m", a timedelta."""


def table_of(*options: Option) -> Table:
    """Options by name."""
    return {option.name: option for option in options}


STORED = table_of(PRIORITY, RETRIES, TIMEOUT, TTL, COST)
IN_PAYLOAD = STORED | table_of(KEY)
"""What a payload has, and a worker checks. A schedule may say it of its jobs."""
OF_CALL = STORED | table_of(
    QUEUE, DELAY, ID, UNIQUE, UNIQUE_WHILE, UNIQUE_FOR, ON_CONFLICT, PUSH_FOR, KEY
)
"""What a producer may ask for one job."""
OF_TASK = STORED | table_of(
    COST_BY, QUEUE, EXECUTOR, UNIQUE_BY, UNIQUE_WHILE, UNIQUE_FOR, ON_CONFLICT, PUSH_FOR, KEY_BY
)
"""What `@task` declares, beside its rules for retries."""
OF_INSTANTS = IN_PAYLOAD | table_of(MISSED, CATCH_UP, OVERLAP, ENABLED, START, END, JITTER)
"""What `add_repeatable` takes beside what names the jobs and the instants."""
OF_SCHEDULE = OF_INSTANTS | table_of(TASK, NAME, EVERY, ARGS, KWARGS)
"""What a schedule has beside `cron` and `timezone`."""


def keep_checked(options: msgspec.Struct, table: Table) -> None:
    """Put into a new struct what is to be kept of its values; fields that are None stay so.

    Raises ValueError "NAME: expected X, got Y".
    """
    for field, option in table.items():
        if (value := getattr(options, field)) is None:
            continue
        try:
            kept = option.kind.read(value)
        except ValueError:
            raise option.refusal(value) from None
        if kept is not value:
            msgspec.structs.force_setattr(options, field, kept)


def refuse_unknown(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise TypeError, with the nearest known name, for a keyword that is no option."""
    for keyword in given:
        if keyword not in known:
            names = sorted(known)
            near = nearest(keyword, names)
            hint = f"did you mean {near}?" if near else f"known are {', '.join(names)}"
            raise TypeError(f"{keyword}: expected a known option, got {keyword!r} ({hint})")


def check_queue_name(value: str) -> str:
    """The name itself. Raises ValueError unless it matches `[a-z0-9][a-z0-9_-]*`."""
    return str(QUEUE.check(value))
