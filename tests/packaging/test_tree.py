"""What `make install` lays down, and what it refuses."""

from __future__ import annotations

import importlib
import marshal
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from types import CodeType

import pytest

from asyncmqd.config.load import load
from tests.packaging.conftest import ROOT, Installation, copy_source

LAID_DOWN = {
    "bin/asyncmq",
    "bin/asyncmqd",
    "lib/asyncmqd/installed-files",
    "lib/systemd/system/asyncmqd.service",
    "lib/sysusers.d/asyncmqd.conf",
    "lib/tmpfiles.d/asyncmqd.conf",
    "share/bash-completion/completions/asyncmq",
    "share/bash-completion/completions/asyncmqd",
    "share/doc/asyncmqd/README.md",
    "share/doc/asyncmqd/docs/configuration.md",
    "share/doc/asyncmqd/queues.toml",
    "share/fish/vendor_completions.d/asyncmq.fish",
    "share/fish/vendor_completions.d/asyncmqd.fish",
    "share/man/man1/asyncmq.1",
    "share/man/man5/queues.toml.5",
    "share/man/man8/asyncmqd.8",
    "share/zsh/site-functions/_asyncmq",
    "share/zsh/site-functions/_asyncmqd",
}


def files_in(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def code_of(installation: Installation) -> Path:
    (code,) = (installation.staged / "lib/asyncmqd").glob("*/")
    return code


def test_everything_has_its_place(staged: Installation) -> None:
    files = files_in(staged.staged)
    assert files >= LAID_DOWN
    units = {f"lib/systemd/system/{unit.name}" for unit in (ROOT / "systemd").glob("*.[st]*[et]")}
    assert units <= files
    beside = {file for file in files if not file.startswith("lib/asyncmqd/0.")}
    documentation = {file for file in beside if file.startswith("share/doc/asyncmqd/")}
    assert beside - documentation - units <= LAID_DOWN
    assert files_in(staged.stage / "etc") == {"asyncmq/queues.toml"}


def test_links_of_the_documentation_lead_to_what_is_there(staged: Installation) -> None:
    documentation = staged.staged / "share/doc/asyncmqd"
    for page in documentation.rglob("*.md"):
        text = re.sub(r"`[^`\n]*`", "", page.read_text())  # code has brackets of its own
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (page.parent / target).exists(), (page, target)


def test_no_file_knows_where_it_was_staged_or_built(staged: Installation) -> None:
    for path in staged.stage.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for place in (staged.stage, staged.source, ROOT):
                assert str(place).encode() not in content, path


def test_all_is_readable_and_only_root_may_write(staged: Installation) -> None:
    for path in staged.staged.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        expected = 0o755 if path.is_dir() else 0o644
        assert mode & 0o755 >= expected, f"{path}: {mode:o}"
        assert not mode & 0o022, f"{path}: {mode:o}"
    assert stat.S_IMODE(staged.configuration.stat().st_mode) == 0o640
    assert stat.S_IMODE(staged.configuration.parent.stat().st_mode) == 0o2750


def test_the_code_is_compiled_for_where_it_will_be(staged: Installation) -> None:
    code = code_of(staged)
    in_target = staged.usr / "lib/asyncmqd" / code.name
    for source in (code / "asyncmqd").rglob("*.py"):
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
        flags, code_object = compiled.read_bytes()[4:8], compiled.read_bytes()[16:]
        assert flags == b"\1\0\0\0", "by hash, unchecked"
        content: CodeType = marshal.loads(code_object)
        assert content.co_filename == str(in_target / source.relative_to(code))


def test_nothing_of_other_projects_is_put_on_the_path(staged: Installation) -> None:
    assert not (code_of(staged) / "bin").exists()
    assert files_in(staged.staged / "bin") == {"asyncmq", "asyncmqd"}


def test_units_start_this_installation_whatever_else_is_on_the_path(staged: Installation) -> None:
    for unit in (staged.staged / "lib/systemd/system").glob("*.service"):
        commands = re.findall(r"^Exec\w+=(.*)$", unit.read_text(), re.MULTILINE)
        assert commands
        for command in commands:
            (program,) = (word for word in command.split() if Path(word).name == "asyncmqd")
            assert program == f"{staged.usr}/bin/asyncmqd"


def test_the_manual_names_the_places_of_this_installation(staged: Installation) -> None:
    page = (staged.staged / "share/man/man8/asyncmqd.8").read_text()
    assert f"{staged.usr}/share/doc/asyncmqd" in page
    assert "/usr/local" not in page


def test_the_sample_is_a_valid_configuration(staged: Installation) -> None:
    sample = staged.staged / "share/doc/asyncmqd/queues.toml"
    assert sample.read_text() == staged.configuration.read_text()
    assert load(staged.configuration, {}).queues


def test_nothing_is_written_into_the_source(staged: Installation, tmp_path: Path) -> None:
    assert files_in(staged.source) == files_in(copy_source(tmp_path / "source"))


# ------------------------------------------------------------------ what is refused


@pytest.fixture
def nothing(tmp_path: Path) -> Installation:
    """A place where nothing is installed."""
    installation = Installation(tmp_path)
    installation.source = ROOT
    return installation


def refusal(installation: Installation, target: str, **variables: object) -> str:
    done = installation.make(target, **variables)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not installation.stage.exists()
    return done.stderr


def test_paths_have_to_be_absolute(nothing: Installation) -> None:
    said = refusal(nothing, "install", PREFIX="usr")
    assert "PREFIX: expected an absolute path, got 'usr'" in said
    said = refusal(nothing, "install", DESTDIR="stage")
    assert "DESTDIR: expected an absolute path, got 'stage'" in said


def test_blanks_in_the_prefix_are_refused(nothing: Installation) -> None:
    said = refusal(nothing, "install", PREFIX="/opt/my jobs")
    assert "PREFIX: expected a path of letters, digits and ._+-, got '/opt/my jobs'" in said


def test_wheels_have_to_be_there(nothing: Installation, tmp_path: Path) -> None:
    said = refusal(nothing, "install", WHEELS=tmp_path / "wheels")
    assert f"WHEELS: expected a directory, got '{tmp_path}/wheels'" in said


def test_an_interpreter_without_pip_is_named(nothing: Installation, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    assert "has no pip" in refusal(nothing, "install", PYTHON=bare / "bin/python")


def test_an_interpreter_that_the_service_cannot_reach_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "packaging")
    hidden = importlib.import_module("host").hidden_directory
    assert hidden("/home/ada/.venv/bin/python") == Path("/home")  # ProtectHome=
    assert hidden("/usr/bin/env") is None
    with tempfile.TemporaryDirectory() as private:  # with mode 0700
        assert hidden(f"{private}/python") == Path(private)


def test_what_is_not_installed_is_not_removed(nothing: Installation) -> None:
    said = refusal(nothing, "uninstall")
    assert f"nothing is installed here: expected {nothing.staged}/lib/asyncmqd" in said
