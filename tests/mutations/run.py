"""Apply each mutation to a copy of the project, and see that its tests notice.

`make mutations`, or `python -m tests.mutations.run [WORD]` for those whose file or text has the
word. Ends with 1 if a mutation survived.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutations.catalogue import ALL
from tests.mutations.mutation import Mutation

ROOT = Path(__file__).parents[2]
PARALLEL = 2
LIMIT = 300  # seconds; a bug may also show itself by a test that hangs
FAILED = 1  # pytest's exit code when a test failed; others mean that it could not run them


def copy_project(to: Path) -> None:
    """What the tests of the stores need."""
    leave = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("asyncmqd", "docs", "tests"):
        shutil.copytree(ROOT / name, to / name, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", to)


def notice(mutation: Mutation) -> str:
    """How the tests end with the bug: `caught`, `SURVIVED` or what went wrong."""
    with tempfile.TemporaryDirectory(prefix="amq") as directory:
        place = Path(directory)
        copy_project(place)
        file = place / mutation.file
        file.write_text(file.read_text().replace(mutation.old, mutation.new))
        code, text = run_tests(place, mutation.tests)
    if code == 0:
        return "SURVIVED"
    return "caught" if code == FAILED else f"NOT RUN ({code}): {text[-500:]}"


def run_tests(place: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run pytest on the project in `place`: its modules come first on the path."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=verdict"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return FAILED, "it hung"
    return done.returncode, done.stdout + done.stderr


def check_copy() -> None:
    """The tests must pass on a copy without a bug, and fail for the bug alone."""
    with tempfile.TemporaryDirectory(prefix="amq") as directory:
        copy_project(Path(directory))
        tests = sorted({name for each in ALL for name in each.tests if name.endswith(".py")})
        probe = "import asyncmqd; print(asyncmqd.__file__)"
        where = subprocess.check_output([sys.executable, "-c", probe], cwd=directory, text=True)
        assert where.startswith(directory), f"the tests would run {where}"
        code, text = run_tests(Path(directory), (*tests, "-k", "not redis6 and not valkey9"))
        assert code == 0, text


def main(words: list[str]) -> int:
    """Run those mutations that the words choose, and print a line for each."""
    chosen = [each for each in ALL if all(word in f"{each.file}\n{each.old}" for word in words)]
    began = time.monotonic()
    check_copy()
    survived = 0
    with ThreadPoolExecutor(PARALLEL) as pool:
        for mutation, outcome in zip(chosen, pool.map(notice, chosen), strict=True):
            survived += outcome != "caught"
            print(
                f"{outcome:9} {mutation.file}: {mutation.old.strip().splitlines()[0]}", flush=True
            )
    took = time.monotonic() - began
    print(f"{len(chosen) - survived} of {len(chosen)} mutations caught in {took:.0f} s")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
