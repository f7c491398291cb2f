"""Where `make test` has its temporary files."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "in_memory.sh"


def _run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, "sh", "-c", command], capture_output=True, text=True)


def test_files_go_with_the_command_and_its_exit_code_is_told():
    done = _run('touch "${TMPDIR:=/tmp}"; echo "$TMPDIR"; exit 3')
    place = Path(done.stdout.strip())
    assert (done.returncode, done.stderr) == (3, "")
    own = place.name.startswith(f"amq-{os.getuid()}-")
    assert own == (str(place.parent) == "/dev/shm")
    assert place.exists() != own


def test_what_a_killed_one_left_is_removed():
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        left = Path(f"/dev/shm/amq-{os.getuid()}-{dead.pid}")
        left.mkdir()
        place = Path(_run('echo "${TMPDIR:=/tmp}"').stdout.strip())
        assert Path(other).exists()
        if place.parent == left.parent:  # where there is no room nothing is looked at
            assert not left.exists()
        else:
            left.rmdir()
