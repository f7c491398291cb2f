"""Apply each mutation to a copy of the project, and see that its tests notice.

`make mutations`, or `python -m tests.mutations.run [WORD]` for those whose file or text has the
word. Ends with 1 if a mutation survived.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from tests.mutations.catalogue import ALL
from tests.mutations.mutation import Mutation

ROOT = Path(__file__).parents[2]
PARALLEL = 2
LIMIT = 300  # seconds; a bug may also show itself by a test that hangs
LIMIT_OF_ALL = 1_800  # seconds, for tests of many mutations in one run, without a bug
FAILED = 1  # pytest's exit code when a test failed; others mean that it could not run them


def copy_project(source: Path, to: Path) -> None:
    """What the tests of the stores need."""
    leave = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("asyncmqd", "docs", "tests"):
        shutil.copytree(source / name, to / name, ignore=leave)
    shutil.copy(source / "pyproject.toml", to)


def notice(source: Path, mutation: Mutation) -> str:
    """How the tests end with the bug: `caught`, `SURVIVED` or what went wrong."""
    with tempfile.TemporaryDirectory(prefix="amq") as directory:
        place = Path(directory)
        copy_project(source, place)
        file = place / mutation.file
        text = file.read_text()
        if mutation.old not in text:
            return "NOT RUN: its text is not there"
        file.write_text(text.replace(mutation.old, mutation.new))
        code, text = run_tests(place, mutation.tests)
    if code == 0:
        return "SURVIVED"
    return "caught" if code == FAILED else f"NOT RUN ({code}): {text[-500:]}"


def run_tests(place: Path, tests: tuple[str, ...], limit: float = LIMIT) -> tuple[int, str]:
    """Run pytest on the project in `place`: its modules come first on the path.

    What it says goes into a file. A pipe would be waited for as long as any process has it that a
    test began and left behind.
    """
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=verdict"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, cwd=place, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            end(process)
            return FAILED, f"it hung: no end within {limit} s"
        said.seek(0)
        return code, said.read()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with all that it began."""
    with suppress(psutil.NoSuchProcess):
        for each in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.kill()
    process.wait()


def check_copy(place: Path, chosen: Iterable[Mutation]) -> None:
    """Their tests must pass on a copy without a bug, and fail for the bug alone."""
    probe = "import asyncmqd; print(asyncmqd.__file__)"
    where = subprocess.check_output([sys.executable, "-c", probe], cwd=place, text=True)
    assert where.startswith(str(place)), f"the tests would run {where}"
    for tests in together(chosen):
        code, text = run_tests(place, tests, LIMIT_OF_ALL)
        assert code == 0, f"{' '.join(tests)}: {text}"


def together(chosen: Iterable[Mutation]) -> list[tuple[str, ...]]:
    """The tests that the mutations name, each once: a run for each of their words after -k."""
    names: dict[tuple[str, ...], set[str]] = {}
    for mutation in chosen:
        at = mutation.tests.index("-k") if "-k" in mutation.tests else len(mutation.tests)
        names.setdefault(mutation.tests[at:], set()).update(mutation.tests[:at])
    return [(*sorted(found), *words) for words, found in names.items()]


def main(words: list[str]) -> int:
    """Run those mutations that the words choose, and print a line for each.

    All of them are put into the same state of the project, however it is edited meanwhile.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.mutations.run", description=__doc__)
    parser.add_argument("word", nargs="*", help="those whose file and text have all the words")
    words = parser.parse_args(words).word
    chosen = [each for each in ALL if all(word in f"{each.file}\n{each.old}" for word in words)]
    if not chosen:
        parser.error(f"no mutation has {' '.join(words)} in its file and text")
    began = time.monotonic()
    survived = 0
    with tempfile.TemporaryDirectory(prefix="amq") as directory:
        source = Path(directory)
        copy_project(ROOT, source)
        print("running their tests without a bug: all of them take some minutes", flush=True)
        check_copy(source, chosen)
        with ThreadPoolExecutor(PARALLEL) as pool:
            outcomes = pool.map(lambda mutation: notice(source, mutation), chosen)
            for mutation, outcome in zip(chosen, outcomes, strict=True):
                survived += outcome != "caught"
                first = mutation.old.strip().splitlines()[0]
                print(f"{outcome:9} {mutation.file}: {first}", flush=True)
    took = time.monotonic() - began
    print(f"{len(chosen) - survived} of {len(chosen)} mutations caught in {took:.0f} s")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
