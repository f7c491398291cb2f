"""Children die with their parent, even if that dies before they can say so."""

from __future__ import annotations

import os
import subprocess

from asyncmqd.runtime.execution.spawn_child import command


def test_a_child_whose_parent_died_while_it_started_ends() -> None:
    """The number of a process that has ended stands for the parent that is gone."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    arguments = command("this_module_is_never_imported")
    arguments[arguments.index(str(os.getpid()))] = str(gone.pid)
    done = subprocess.run(arguments, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == b""
