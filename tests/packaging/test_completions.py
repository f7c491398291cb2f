"""Completion: the scripts that are installed, and what the commands answer them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PATH = {"PATH": f"{BIN}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the scripts were written."""
    directory = tmp_path_factory.mktemp("share")
    script = ROOT / "packaging/completions.py"
    subprocess.run([sys.executable, "-B", script, directory], check=True)
    return directory


def asked(command: str, **environ: str) -> list[str]:
    """The lines that the command answers to a shell."""
    done = subprocess.run([BIN / command], env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("asyncmqd re", {"reload"}),
        ("asyncmqd ", {"run", "check", "plan", "reload", "status"}),
        ("asyncmqd status --j", {"--json"}),
        ("asyncmq job c", {"cancel"}),
        ("asyncmq job list --state de", {"delayed"}),
    ],
)
def test_bash_completes(share: Path, line: str, expected: set[str]) -> None:
    command, *_ = words = line.split(" ")
    script = share / "bash-completion/completions" / command
    typed = " ".join(f"'{word}'" for word in words)
    program = f"""
        . {script}
        COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}
        _{command}_completion {command}
        printf '%s\\n' "${{COMPREPLY[@]}}"
        complete -p {command}
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", program], env=PATH, capture_output=True, text=True
    )
    *completions, registered = done.stdout.splitlines()
    assert set(completions) == expected, done.stderr
    assert registered.endswith(f"-F _{command}_completion {command}")


def test_zsh_and_fish_are_answered_with_descriptions() -> None:
    zsh = asked("asyncmqd", _ASYNCMQD_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="asyncmqd re")
    assert len(zsh) == 1
    assert zsh[0].startswith('_arguments \'*: :(("reload":"Reload the configuration of the running')
    fish = asked(
        "asyncmq",
        _ASYNCMQ_COMPLETE="complete_fish",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        _TYPER_COMPLETE_ARGS="asyncmq queue pu",
    )
    assert fish == ["purge\tDelete all jobs in one state."]


@pytest.mark.parametrize("command", ["asyncmqd", "asyncmq"])
def test_the_scripts_ask_what_the_commands_answer(share: Path, command: str) -> None:
    zsh = (share / f"zsh/site-functions/_{command}").read_text()
    assert zsh.startswith(f"#compdef {command}\n"), "zsh looks for this on the first line"
    assert zsh.endswith(f'\n_{command}_completion "$@"\n'), "the first TAB would stay unanswered"
    fish = (share / f"fish/vendor_completions.d/{command}.fish").read_text()
    assert fish.startswith(f"complete --command {command} ")
    for text in (zsh, fish):
        assert f"_{command.upper()}_COMPLETE=complete_" in text


@pytest.mark.parametrize("command", ["asyncmqd", "asyncmq"])
def test_help_is_free_of_it(command: str) -> None:
    done = subprocess.run([BIN / command, "--help"], capture_output=True, text=True)
    assert "--version" in done.stdout
    assert "completion" not in done.stdout
