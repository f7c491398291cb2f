"""Where the control socket is unless the configuration says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_USUAL = "queues"  # the stem of the configuration file of a host's only daemon


def default_control_socket(environ: Mapping[str, str], stem: str = _USUAL) -> Path:
    """The socket that a daemon makes; `stem` is its configuration file's name without ".toml".

    `$RUNTIME_DIRECTORY` (the unit's), else a directory named `asyncmqd`, or `asyncmqd-STEM` if the
    stem is not "queues", in `$XDG_RUNTIME_DIR`, else /run for root, where the units put it too,
    else /run/user/UID, else /tmp with the UID in its name. Nothing is created; whoever creates the
    directory must make it 0700 and refuse one of another owner, since anybody can put a directory
    into /tmp first.
    """
    if unit := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        return Path(unit) / "control.sock"
    name = _name(stem)
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / name / "control.sock"
    user = os.getuid()
    if user == 0:
        return _of_unit(stem)
    if (own := Path(f"/run/user/{user}")).is_dir():
        return own / name / "control.sock"
    return Path(f"/tmp/{name}-{user}/control.sock")  # noqa: S108 - see the docstring


def usual_control_socket(environ: Mapping[str, str], stem: str) -> Path:
    """The socket that a client looks for: its user's own, if there is one, else the unit's."""
    own, unit = default_control_socket(environ, stem), _of_unit(stem)
    return unit if _exists(unit) and not _exists(own) else own


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # it is there, and connecting will say that it is not for us


def _of_unit(stem: str) -> Path:
    return Path("/run", _name(stem), "control.sock")


def _name(stem: str) -> str:
    return "asyncmqd" if stem == _USUAL else f"asyncmqd-{stem}"
