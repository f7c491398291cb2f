"""Install asyncmqd for systemd, or remove it: what `make install` and `make uninstall` run.

What goes where and why is told in docs/packaging.md. Nothing but the standard library is needed,
and pip for the code and its dependencies.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import host
import packages
import program
from layout import COMMANDS, CONFIGURATION, SAMPLE, Place, files
from program import Failed

_COMPLETIONS = Path(__file__).with_name("completions.py")
_CONFIGURATION_MODES = (0o2750, 0o640)  # of the directory and the file: there may be secrets
_PATH = re.compile(r"(/[\w.+-]+)+")  # no blanks, which a launcher's first line cannot hold


def install(place: Place, wheels: str) -> None:
    """Lay everything down; the launchers come last, for they are what switches to the new code."""
    _check(place, wheels)
    before, previous = _installed(place), program.in_use(place)
    code = program.lay_down(place, wheels)
    texts = {**dict(files(place)), **_completions(place, code)}
    for path, text in texts.items():
        _write(place.on_disk(path), text)
    for command in COMMANDS:
        _write(place.on_disk(place.launcher(command)), program.launcher(command, code), 0o755)
    installed = {*texts, *map(place.launcher, COMMANDS)}
    _write(_list(place), "".join(f"{path}\n" for path in sorted(installed)))
    _remove(place, before - installed)
    if previous != code:  # else nothing has changed, and a daemon may still run the one before
        program.remove_older(place, {code, previous})
    left = host.make_user(place)
    kept = not _configure(place)
    left += host.make_directories(place) + host.reload_units(place)
    _report(place, code, [*left, host.start_command(place)], kept=kept)


def uninstall(place: Place) -> None:
    """Remove what `install` laid down."""
    if host.is_target(place) and (units := host.running_units()):
        units = " ".join(units)
        raise Failed(f"{units}: still running; stop it first: systemctl disable --now {units}")
    installed = _installed(place)
    if not installed:
        raise Failed(f"nothing is installed here: expected {_list(place)}; was it another PREFIX?")
    _remove(place, installed)
    shutil.rmtree(place.on_disk(place.library))
    left = host.reload_units(place)
    print(f"removed asyncmqd from {place.prefix}")
    print(f"left alone: {CONFIGURATION.parent}, /var/lib/asyncmqd*, user and group {host.GROUP}")
    _print_commands("then", left)


def _check(place: Place, wheels: str) -> None:
    """Refuse what could not work, before anything is touched."""
    python = program.interpreter()
    if importlib.util.find_spec("pip") is None:
        raise Failed(
            f"{python} has no pip, which installs the code: install it (Debian: python3-pip),"
            " or name another interpreter by PYTHON="
        )
    if not _PATH.fullmatch(python):
        raise Failed(f"PYTHON: expected a path of letters, digits and ._+-, got {python!r}")
    if wheels and not Path(wheels).is_dir():
        raise Failed(f"WHEELS: expected a directory, got {wheels!r}; `make wheels` makes one")
    if host.is_target(place) and (hidden := host.hidden_directory(python)):
        print(f"warning: the service cannot run {python}, since {hidden} is closed to it;")
        print("         better take one of the system: make install PYTHON=/usr/bin/python3")


def _list(place: Place) -> Path:
    return place.on_disk(place.library / "installed-files")


def _installed(place: Place) -> set[Path]:
    """What the last installation laid down beside the code."""
    path = _list(place)
    return {Path(line) for line in path.read_text().splitlines()} if path.is_file() else set()


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Put a file in its place by a rename: whoever reads it sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)


def _remove(place: Place, paths: Iterable[Path]) -> None:
    for path in map(place.on_disk, paths):
        path.unlink(missing_ok=True)
    documentation = place.on_disk(place.documentation)
    for directory in (*sorted(documentation.rglob("*/"), reverse=True), documentation):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def _completions(place: Place, code: Path) -> dict[Path, str]:
    """The completions, made by the code that was laid down."""
    environ = {**os.environ, "PYTHONPATH": str(place.on_disk(code))}
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, "-B", _COMPLETIONS, directory], env=environ, check=True)
        return {
            place.prefix / "share" / path.relative_to(directory): path.read_text()
            for path in Path(directory).rglob("*")
            if path.is_file()
        }


def _configure(place: Place) -> bool:
    """Lay down the sample configuration, unless there is one; whether it was."""
    path = place.on_disk(CONFIGURATION)
    group = host.group() if host.is_target(place) else None
    laid_down = []
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        laid_down.append((path.parent, _CONFIGURATION_MODES[0]))
    if not os.path.lexists(path):
        path.write_text(SAMPLE.read_text())
        laid_down.append((path, _CONFIGURATION_MODES[1]))
    for made, mode in laid_down:
        if group is not None:
            os.chown(made, -1, group)
        made.chmod(mode)
    return (path, _CONFIGURATION_MODES[1]) in laid_down


def _report(place: Place, code: Path, left: Iterable[str], *, kept: bool) -> None:
    where = f" in {place.destdir}" if place.destdir else ""
    print(f"installed asyncmqd {code.name.rpartition('-')[0]} under {place.prefix}{where}")
    sample = place.documentation / SAMPLE.name
    print(
        f"kept {CONFIGURATION}; the sample is {sample}"
        if kept
        else f"wrote {CONFIGURATION}: name your tasks and queues in there"
    )
    _print_commands("then, on the system that it is for" if place.destdir else "then", left)


def _print_commands(when: str, commands: Iterable[str]) -> None:
    for number, command in enumerate(commands):
        print(f"{when}:\n  {command}" if number == 0 else f"  {command}")


def _place(destdir: str, prefix: str) -> Place:
    for name, value in (("PREFIX", prefix), ("DESTDIR", destdir)):
        absolute = os.path.isabs(value) or (name == "DESTDIR" and not value)
        if not absolute:
            raise Failed(f"{name}: expected an absolute path, got {value!r}")
    prefix = os.path.normpath(prefix)
    if not _PATH.fullmatch(prefix):
        raise Failed(f"PREFIX: expected a path of letters, digits and ._+-, got {prefix!r}")
    return Place(destdir.rstrip("/"), Path(prefix))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description="Used by `make install`, `uninstall` and `wheels`."
    )
    parser.add_argument("action", choices=["install", "uninstall", "wheels"])
    parser.add_argument("--destdir", default="")
    parser.add_argument("--prefix", default="/usr/local")
    parser.add_argument("--wheels", default="")
    arguments = parser.parse_args()
    os.umask(0o022)  # the service reads what is laid down here, whatever root's own umask is
    try:
        place = _place(arguments.destdir, arguments.prefix)
        if arguments.action == "install":
            install(place, arguments.wheels)
        elif arguments.action == "wheels":
            packages.gather(Path(arguments.wheels).absolute())
        else:
            uninstall(place)
    except PermissionError as error:
        sys.exit(f"asyncmqd: {error.filename}: {error.strerror}: expected to be root, or a DESTDIR")
    except packages.Unavailable:
        sys.exit("asyncmqd: pip could not gather the wheels")
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"asyncmqd: {error}")
    except KeyboardInterrupt:
        sys.exit("asyncmqd: interrupted; repeat it to have all files of one version")


if __name__ == "__main__":
    main()
