"""A configuration that others can write is not run; every other use of it goes on."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from asyncmqd.config.backend import store_in
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.file_permissions import file_problem
from asyncmqd.config.load import load

ADMIN = 12_345  # a group, and a user, of no name


@pytest.fixture
def config(tmp_path) -> Path:
    assert os.geteuid() == 0, "needs root, to give files away"
    folder = tmp_path / "etc"
    folder.mkdir(0o755)
    path = folder / "queues.toml"
    path.write_text('backend = "sqlite:///x/jobs.db"\n[queues.q]\n')
    path.chmod(0o640)
    return path


def errors(path: Path) -> list[str]:
    try:
        load(path, {})
    except ConfigErrors as found:
        return str(found).splitlines()
    return []


def _drop_in(config: Path) -> Path:
    folder = config.with_name("queues.d")
    folder.mkdir(0o755)
    path = folder / "a.toml"
    path.write_text("lease = 20\n")
    path.chmod(0o644)
    return path


ALL, GROUP = "not everybody can write", "its group cannot write"


@pytest.mark.parametrize("drop_in", [False, True], ids=["file", "drop-in"])
@pytest.mark.parametrize(
    ("mode", "group", "wanted", "got"),
    [
        (0o666, 0, ALL, "0666"),
        (0o642, 0, ALL, "0642"),
        (0o664, ADMIN, GROUP, "0664 of group 12345"),
        (0o660, 1, GROUP, "0660 of group daemon"),
        (0o664, 0, "", ""),
        (0o644, ADMIN, "", ""),
        (0o600, 0, "", ""),
    ],
)
def test_files_that_others_can_write_are_refused(config, drop_in, mode, group, wanted, got):
    path = _drop_in(config) if drop_in else config
    os.chown(path, 0, group)
    path.chmod(mode)
    refusal = f"{path}:1: toml: expected a file that {wanted}, got mode {got}"
    assert errors(config) == ([refusal] if wanted else [])
    assert store_in(config).url == "sqlite:///x/jobs.db", "an application may read it all the same"


def test_a_file_of_a_deployment_user_is_fine_and_so_is_its_private_group(config):
    """As `umask 002` makes it on systems where each user has a group of the same name."""
    user = next(u for u in pwd.getpwall() if u.pw_uid and u.pw_gid == _group_of(u.pw_name))
    os.chown(config, user.pw_uid, user.pw_gid)
    config.chmod(0o664)
    assert errors(config) == []
    os.chown(config, ADMIN, ADMIN)
    assert errors(config), "a group without a name may have anybody in it"


def _group_of(name: str) -> int | None:
    import grp

    try:
        found = grp.getgrnam(name)
    except KeyError:
        return None
    return found.gr_gid if not found.gr_mem else None


def test_a_private_group_with_others_in_it_is_none(config, monkeypatch):
    """The group `asyncmqd` has the name of its user, and the applications that enqueue in it."""
    import grp

    user = next(u for u in pwd.getpwall() if u.pw_uid and u.pw_gid == _group_of(u.pw_name))
    shared = grp.struct_group((user.pw_name, "x", user.pw_gid, ["www-data"]))
    monkeypatch.setattr(grp, "getgrgid", lambda _: shared)
    os.chown(config, user.pw_uid, user.pw_gid)
    config.chmod(0o664)
    assert file_problem(config.stat()) is not None


def test_a_group_that_the_namespace_does_not_know_is_nobody_s(config, monkeypatch):
    """Where `nobody` is a user and a group, all files of others seemed to be of a private group."""
    import grp

    nobody = pwd.getpwuid(65534)
    monkeypatch.setattr(
        grp, "getgrgid", lambda number: grp.struct_group((nobody.pw_name, "x", number, []))
    )
    os.chown(config, 65534, 65534)
    config.chmod(0o664)
    assert file_problem(config.stat()) is None
    monkeypatch.setattr("asyncmqd.config.file_permissions.nobodies", lambda _: {65534})
    assert file_problem(config.stat()) is not None


def test_in_a_container_users_have_no_names(config, monkeypatch):
    os.chown(config, ADMIN, ADMIN)
    config.chmod(0o664)
    monkeypatch.setattr(os, "geteuid", lambda: ADMIN)
    monkeypatch.setattr(os, "getegid", lambda: ADMIN)
    assert file_problem(config.stat()) is None


def test_drop_ins_of_somebody_else_are_refused(config):
    """In a directory with the sticky bit anybody could make `queues.d` first."""
    config.parent.chmod(0o1777)
    assert errors(config) == []
    path = _drop_in(config)
    os.chown(path, ADMIN, 0)
    expected = "expected it to belong to user 0 or to root, got user 12345"
    assert errors(config) == [f"{path}:1: toml: {expected}"]
    os.chown(config, ADMIN, 0)
    assert errors(config) == []


@pytest.mark.parametrize("drop_in", [False, True], ids=["directory", "drop-ins"])
def test_a_group_that_may_replace_the_configuration_is_refused_as_one_that_may_write_it(
    config, drop_in
):
    folder = _drop_in(config).parent if drop_in else config.parent
    os.chown(folder, 0, ADMIN)
    folder.chmod(0o2775)
    place = folder / "a.toml" if drop_in else config
    expected = f"expected a directory that its group cannot write, got {folder} of mode 2775"
    assert errors(config) == [f"{place}:1: toml: {expected} of group 12345"]
    os.chown(folder, 0, 0)
    assert errors(config) == [], "the group of root has nobody else in it"


@pytest.mark.mounts
def test_a_config_map_is_accepted_where_its_mount_is_read_only(tmp_path):
    """As Kubernetes lays it down: mode 0777, and links to a directory that is swapped whole."""
    mounted = tmp_path / "asyncmq"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "tmpfs", mounted], check=True)
    try:
        version = mounted / "..2026_11_28_12_00_00.1"
        version.mkdir(0o755)
        (version / "queues.toml").write_text('backend = "sqlite:///x/jobs.db"\n[queues.q]\n')
        (version / "queues.toml").chmod(0o644)
        (mounted / "..data").symlink_to(version.name)
        (mounted / "queues.toml").symlink_to("..data/queues.toml")
        config = mounted / "queues.toml"
        refused = f"got {mounted} of mode 0777"
        [error] = errors(config)
        assert error.endswith(refused), "while the mount can be written to"
        os.chown(mounted, 0, ADMIN)  # as with fsGroup
        subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
        assert errors(config) == []
    finally:
        subprocess.run(["umount", "--lazy", mounted], check=True)


def test_directories_that_everybody_can_write_are_refused(config, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    config.write_text(f'python_path = ["/nowhere", "{code}"]\n' + config.read_text())
    code.chmod(0o2775)
    os.chown(code, ADMIN, ADMIN)
    assert errors(config) == [], "a group that shares a tree was set up by somebody"
    code.chmod(0o1777)
    config.parent.chmod(0o777)
    expected = "expected a directory that not everybody can write, got"
    assert errors(config) == [
        f"{config}:1: python_path[1]: {expected} {code} of mode 1777",
        f"{config}:1: toml: {expected} {config.parent} of mode 0777",
    ]


def test_the_daemon_is_not_started_with_it_and_a_reload_is_refused(daemon):
    d = daemon("memory://trust", "[queues.q]\n").start()
    d.config.chmod(0o666)
    expected = f"{d.config}:1: toml: expected a file that not everybody can write, got mode 0666"
    done = d.cli("reload")
    assert (done.returncode, expected in done.stderr) == (1, True)
    assert d.ask("status")["config"]["generation"] == 1
    assert d.cli("status").returncode == 0
    checked = d.cli("check")
    assert (checked.returncode, checked.stderr) == (78, f"{expected}\n")
    assert d.stop() == 0
    d.kill()  # which closes what was read of it
    d.start(ready=False)
    assert d.wait() == 78
