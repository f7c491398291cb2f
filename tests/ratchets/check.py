"""`make check`: no new long file, long or complex function, or name with a banned word.

exceptions.toml lists what is beyond a limit today, and how far. An entry may only shrink, and the
check fails for an entry that is not needed any more. `--shrink` brings the list up to date, and
adds nothing to it.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from complexipy import code_complexity

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("exceptions.toml")
GLOSSARY = ROOT / "docs" / "glossary.md"
ME = "python -m tests.ratchets.check"
FOLDERS = ("asyncmqd", "docs", "examples", "packaging")

# Complexity is cognitive complexity: boolean operators count, and nested branches count more.
LIMITS = {"file_lines": 400, "function_lines": 40, "complexity": 15, "banned_names": 0}

Beyond = dict[str, dict[str, int]]  # by limit, then by what is beyond it: how far


def banned_words(glossary: str) -> list[str]:
    """The first column of the table between the two marks."""
    table = glossary.partition("<!-- banned -->")[2].partition("<!-- end -->")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    return [word.strip() for row in rows[2:] for word in row.split(",")]


def sizes(path: str, code: str) -> Iterator[tuple[str, str, int]]:
    """Limit, what is measured, how much."""
    yield "file_lines", path, code.count("\n")
    for each in code_complexity(code).functions:
        name = f"{path}::{each.name}"
        yield "function_lines", name, each.line_end - each.line_start + 1
        yield "complexity", name, each.complexity


def names_in(code: str) -> Iterator[str]:
    """The names that the code gives: each time that it does."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                yield name
            case ast.arg(name) | ast.Name(name, ast.Store()) | ast.Attribute(_, name, ast.Store()):
                yield name


def in_snake_case(name: str) -> str:
    """With an underscore before each word: `_child_keeper` of ChildKeeper."""
    return "_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().lstrip("_")


def beyond_limits() -> Beyond:
    """What is beyond the limits now."""
    words = banned_words(GLOSSARY.read_text())
    anywhere = re.compile("|".join(word.replace("_", "_?") for word in words), re.IGNORECASE)
    banned = re.compile("_(" + "|".join(words) + ")")
    found: Beyond = {limit: {} for limit in LIMITS}
    names: Counter[str] = Counter()
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            code, path = file.read_text(), str(file.relative_to(ROOT))
            for limit, what, size in sizes(path, code):
                if size > max(LIMITS[limit], found[limit].get(what, 0)):
                    found[limit][what] = size
            names[file.stem] += 1
            if anywhere.search(code):
                names.update(names_in(code))
    found["banned_names"] = {n: names[n] for n in names if banned.search(in_snake_case(n))}
    return found


def problems(found: Beyond, listed: Beyond) -> Iterator[str]:
    """What is new beyond a limit, and what is listed for nothing."""
    for limit, usual in LIMITS.items():
        now, most = found[limit], listed.get(limit, {})
        for what in sorted(now.keys() | most.keys()):
            if what not in now:
                yield f"{what}: {limit}: no exception any more: run {ME} --shrink"
            elif now[what] > most.get(what, usual):
                yield f"{what}: {limit}: expected {most.get(what, usual)}, got {now[what]}"


def shrunk(found: Beyond, listed: Beyond) -> Beyond:
    """The list without what is needed no more, and with numbers that have come down."""
    return {
        limit: {
            what: min(most, found[limit][what])
            for what, most in listed.get(limit, {}).items()
            if what in found[limit]
        }
        for limit in LIMITS
    }


def write(listed: Beyond) -> None:
    tables = (
        f"\n[{limit}]\n" + "".join(f'"{what}" = {most}\n' for what, most in sorted(whats.items()))
        for limit, whats in listed.items()
    )
    head = "# What is beyond the limits of check.py, and how far. This list only shrinks.\n"
    LIST.write_text(head + "".join(tables))


def main() -> int:
    """Print what is beyond the limits; 1 if anything is."""
    found, listed = beyond_limits(), tomllib.loads(LIST.read_text())
    if "--shrink" in sys.argv:
        listed = shrunk(found, listed)
        write(listed)
    wrong = list(problems(found, listed))
    count = sum(map(len, listed.values()))
    print(*wrong or [f"nothing new beyond the limits, {count} exceptions left"], sep="\n")
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
