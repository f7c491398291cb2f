"""`make test-pythons`: the whole suite under each supported Python that is found.

Each one has a copy of the project in dist/pythons, with an environment of its own, which stays for
the next time. PYTHONS="..." names interpreters beside those on PATH. Ends with 1 if one failed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
NOT_COPIED = shutil.ignore_patterns(
    *(".git", ".venv", ".bench", ".*_cache", ".hypothesis", "__pycache__", "dist", "var")
)
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def found() -> dict[str, str]:
    """The interpreters by version: those that are named, then those on PATH."""
    named = os.environ.get("PYTHONS", "").split()
    commands = [*named, *(f"python{version}" for version in SUPPORTED), sys.executable]
    pythons: dict[str, str] = {}
    for command in commands:
        if (path := shutil.which(command)) and (version := _version(path)) in SUPPORTED:
            pythons.setdefault(version, path)
    return {version: pythons[version] for version in SUPPORTED if version in pythons}


def _version(python: str) -> str:
    asked = subprocess.run([python, "-c", VERSION], capture_output=True, text=True)
    return asked.stdout.strip()


def copied(version: str) -> Path:
    """The project as it is now, in the directory of that version."""
    place = ROOT / "dist/pythons" / version
    if place.exists():
        for each in place.iterdir():
            if each.name != ".venv":
                shutil.rmtree(each) if each.is_dir() else each.unlink()
    return Path(shutil.copytree(ROOT, place, ignore=NOT_COPIED, dirs_exist_ok=True))


def run(version: str, python: str) -> bool:
    """Run `make test` with that interpreter; whether all is well."""
    place = copied(version)
    log = place.with_name(f"{version}.log")
    began = time.monotonic()
    with log.open("w") as out:
        command = ["make", "-C", place, "test", f"PYTHON={python}", *sys.argv[1:]]
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT)
    text = log.read_text()
    said = re.findall(
        r"^=* ?(\d+ (?:passed|failed|error).*? in [\d.]+s.*?) ?=*$", text, re.MULTILINE
    )
    outcome = said[-1] if said else f"make test ended with {done.returncode}"
    took = time.monotonic() - began
    print(
        f"python{version}: {outcome}; {took:.0f} s with set-up; {log.relative_to(ROOT)}", flush=True
    )
    return done.returncode == 0


def main() -> int:
    """Run them one after the other: they would share two cores."""
    pythons = found()
    for version in SUPPORTED:
        if version not in pythons:
            print(f"python{version}: not found; name it in PYTHONS=", flush=True)
    results = [run(version, python) for version, python in pythons.items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
