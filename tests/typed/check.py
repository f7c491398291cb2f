"""`make check`: mypy and pyright find every mistake of mistakes.py, and none in application.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
FILES = [str(HERE / name) for name in ("application.py", "mistakes.py")]
COMMANDS = {
    "mypy": ["mypy", "--strict", "--output", "json"],
    "pyright": ["pyright", "--pythonpath", sys.executable, "--outputjson"],
}

Place = tuple[str, int]  # a file's name and a line, from 1
Found = dict[Place, str]  # the rules by which it is refused


def expected() -> Found:
    """What the comments say."""
    lines = [
        ((Path(file).name, number), line)
        for file in FILES
        for number, line in enumerate(Path(file).read_text().splitlines(), 1)
    ]
    comments = ((place, re.search(r"# refused(?:: (\w+))?$", line)) for place, line in lines)
    return {place: comment[1] or "" for place, comment in comments if comment}


def of_mypy(output: str) -> Iterator[tuple[Place, str]]:
    for each in map(json.loads, output.splitlines()):
        if each["severity"] == "error":
            yield (Path(each["file"]).name, each["line"]), each["code"]


def of_pyright(output: str) -> Iterator[tuple[Place, str]]:
    for each in json.loads(output)["generalDiagnostics"]:
        line = each["range"]["start"]["line"] + 1
        yield (Path(each["file"]).name, line), each.get("rule", "")


READERS = {"mypy": of_mypy, "pyright": of_pyright}


def differences(checker: str, found: Found, wanted: Found) -> Iterator[str]:
    for place in sorted(found.keys() | wanted.keys()):
        where = f"tests/typed/{place[0]}:{place[1]}: {checker}:"
        if place not in found:
            yield f"{where} expected an error, got none"
        elif place not in wanted:
            yield f"{where} expected no error, got {found[place]}"
        elif wanted[place].lower() not in found[place].lower():
            yield f"{where} expected a rule with {wanted[place]!r}, got {found[place]}"


def main() -> int:
    """Print what is not as expected; how many lines that are."""
    running = {
        checker: subprocess.Popen(
            [sys.executable, "-m", *command, *FILES], stdout=subprocess.PIPE, text=True
        )
        for checker, command in COMMANDS.items()
    }
    problems = []
    for checker, process in running.items():
        output, _ = process.communicate()
        found: Found = {}
        for place, rule in READERS[checker](output):
            found[place] = f"{found.get(place, '')} {rule}".strip()
        problems += differences(checker, found, expected())
    print(*problems or [f"{len(expected())} mistakes found by mypy and pyright"], sep="\n")
    return min(len(problems), 1)


if __name__ == "__main__":
    sys.exit(main())
