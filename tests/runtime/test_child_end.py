"""A child's end is heard of, whatever the code of jobs does to SIGCHLD."""

from __future__ import annotations

import subprocess
import sys


def test_it_is_heard_of_whoever_takes_the_signal_or_the_code() -> None:
    program = [sys.executable, "-m", "tests.runtime.meddling"]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == ["-9", "None", "-9", "None"]
