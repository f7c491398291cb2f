"""Write the completions of both commands for bash, zsh and fish: `completions.py DIRECTORY`.

It is run with the installed code on its path; the directory becomes a `share`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from typer.completion import get_completion_script

FILES = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/site-functions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}


def script(command: str, shell: str) -> str:
    """What the shell reads when the command is to be completed for the first time."""
    variable = f"_{command.upper()}_COMPLETE"
    text = get_completion_script(prog_name=command, complete_var=variable, shell=shell)
    if shell == "zsh":  # it reads the file as the body of a function, and wants an answer from it
        text += f'\n\n_{command}_completion "$@"'
    return text + "\n"


def main(share: Path) -> None:
    """Write all files."""
    for command in ("asyncmqd", "asyncmq"):
        for shell, name in FILES.items():
            path = share / name.format(command)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script(command, shell))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
