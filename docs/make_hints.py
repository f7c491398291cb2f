"""Write docs/hints.md from the rows that the tests try; `--check` says whether it is up to date."""  # noqa: INP001 - no package

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.unit.hints import AT_THE_PRODUCER, ROWS, evaluated
from tests.unit.test_hints import declared, enqueued

PAGE = Path(__file__).with_name("hints.md")

INTRO = f"""\
<!-- made by docs/make_hints.py from tests/unit/hints.py; do not edit -->
# Type hints: what is carried and what is refused

This page says what becomes of {len(ROWS)} type hints of a parameter. *Equal*: the values in the
row were enqueued, stored as JSON and read by a worker, and were then equal to the given values.
*Refused*: `@task` raises TypeError where the task is declared, with these words after `TASK:
parameter 'NAME':`. There is no third case. [arguments.md](arguments.md) has the rules. The
classes in the table are in `tests/unit/hints.py`.

"""

REFUSED = """
## Values that are refused at the producer

The hint is accepted, but this value would not come back equal. `enqueue` raises TypeError, or
NotSerialisable (a kind of TypeError), with these words, and nothing is stored.

| hint | value | words |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    lines = ["| hint | what becomes of it | values, or the words of the error |", "|---|---|---|"]
    lines += [_row(row[0], row[1:]) for row in ROWS]
    values = [
        f"| {_code(hint)} | {_code(value)} | {_cell(_words(hint, value))} |"
        for hint, value, _ in AT_THE_PRODUCER
    ]
    return INTRO + "\n".join(lines) + "\n" + REFUSED + "\n".join(values) + "\n"


def _row(hint: str, values: tuple[str, ...]) -> str:
    if values:
        return f"| {_code(hint)} | equal | {', '.join(map(_code, values))} |"
    try:
        declared(evaluated(hint))
    except TypeError as error:
        return f"| {_code(hint)} | refused | {_cell(_own_words(error))} |"
    raise AssertionError(f"{hint}: expected to be refused")


def _words(hint: str, value: str) -> str:
    task = declared(evaluated(hint))
    try:
        enqueued(task, evaluated(value))
    except TypeError as error:
        return _own_words(error)
    raise AssertionError(f"{hint}: expected {value} to be refused")


def _own_words(error: Exception) -> str:
    """Without the names of the test, and without what other packages say in each release."""
    text = str(error).removeprefix("mod.f: parameter 'argument': ").replace("tests.unit.hints.", "")
    text = re.sub(r"(?<=does not come back from JSON): .*", "", text)
    text = re.sub(r"unhashable type.*|Expected a hashable value.*", "unhashable", text)
    return re.sub(r"(?<=validation error)(s? for \w+).*", r"\1", text, flags=re.DOTALL)


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main() -> None:
    """Write the page, or exit 1 if `--check` finds it outdated."""
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit(f"{PAGE}: not what tests/unit/hints.py says: run make docs")


if __name__ == "__main__":
    main()
