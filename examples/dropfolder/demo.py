"""`make run`: the drop folder with all that it needs, fed with the project's own files.

Starts the flaky endpoint and the daemon, copies files into the inbox, and tells what happens, until
Ctrl-C. All it writes is below ./var (`--var`).
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import os
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

from dropfolder.daemon import DaemonProcess
from dropfolder.endpoint import FlakyEndpoint
from dropfolder.progress import Progress

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
TEMPLATE_ROOT = "/srv/asyncmqd"  # what queues.toml says where the project is
KINDS = {".lua", ".md", ".py", ".sql", ".toml"}
FED_AT_ONCE, FEED_PAUSE = 10, 0.25  # files, seconds


def main() -> int:
    """Run until told to stop; the daemon's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--var", type=Path, default=PROJECT / "var", help="where to write")
    parser.add_argument("--files", type=int, default=120, help="how many files to feed")
    arguments = parser.parse_args()
    var = arguments.var.absolute()
    var.mkdir(parents=True, exist_ok=True)
    own_terminal()
    print("starting the daemon", flush=True)
    endpoint = FlakyEndpoint()
    Thread(target=endpoint.serve_forever, daemon=True).start()
    environment = {"DROPFOLDER": str(var / "dropfolder"), "DROPFOLDER_ENDPOINT": endpoint.url}
    daemon = DaemonProcess(write_config(var), var / "daemon.log", environment)
    return asyncio.run(show(daemon, var, project_files()[: arguments.files]))


def own_terminal() -> None:
    """Have Ctrl-C come to us alone: `make`, which started us, would end with an error."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return  # there is none, and so no Ctrl-C
    if os.tcgetpgrp(terminal) == os.getpgrp() != os.getpid():
        before = os.getpgrp()
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it would stop us, who take it from outside
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpid())
        atexit.register(os.tcsetpgrp, terminal, before)


def write_config(var: Path) -> Path:
    """var/queues.toml: written once, for it may be edited, and anew if the project has moved."""
    config = var / "queues.toml"
    if config.exists() and f"{var}/jobs.db" in config.read_text():
        return config
    text = (HERE / "queues.toml").read_text()
    text = text[text.index("backend =") :]
    text = text.replace(f"{TEMPLATE_ROOT}/var", str(var)).replace(TEMPLATE_ROOT, str(PROJECT))
    config.write_text(f"# A copy of {HERE / 'queues.toml'}, made by `make run`.\n\n{text}")
    return config


def project_files() -> list[Path]:
    """The texts of the project itself, in the order of their paths."""
    paths = [path.relative_to(PROJECT) for path in PROJECT.rglob("*") if path.suffix in KINDS]
    hidden = ("var", "node_modules", "__pycache__")
    return sorted(
        path
        for path in paths
        if not any(part.startswith(".") or part in hidden for part in path.parts)
    )


async def show(daemon: DaemonProcess, var: Path, files: list[Path]) -> int:
    """Start the daemon, feed it, and tell of it until it has ended."""
    progress = Progress(len(files))
    await daemon.start()
    feeding = asyncio.create_task(feed(daemon, var, files))
    async for event in daemon.events():
        progress.note(event)
        if event["event"] == "daemon.ready":
            print(where_to_look(_shown(var)), flush=True)
    feeding.cancel()
    code = await daemon.wait()
    print(f"the daemon has ended, exit code {code}")
    return code


async def feed(daemon: DaemonProcess, var: Path, files: list[Path]) -> None:
    """Copy files into the inbox, a few at a time."""
    await daemon.ready.wait()
    inbox = var / "dropfolder" / "inbox"
    for number, file in enumerate(files):
        await asyncio.to_thread(put, PROJECT / file, inbox, "-".join(file.parts))
        if number % FED_AT_ONCE == FED_AT_ONCE - 1:
            await asyncio.sleep(FEED_PAUSE)


def put(file: Path, inbox: Path, name: str) -> None:
    """Copy under a hidden name, then rename: nobody ever sees half of a file."""
    inbox.mkdir(parents=True, exist_ok=True)
    hidden = inbox / f".{name}"
    shutil.copyfile(file, hidden)
    hidden.rename(inbox / name)


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def where_to_look(var: Path) -> str:
    """What to open and what to type in another terminal."""
    home, scripts = var / "dropfolder", Path(".venv/bin")
    config = f"--config {var / 'queues.toml'}"
    report = home / "reports" / f"{datetime.now(UTC).date()}.md"
    return f"""
The daemon is ready. In another terminal, in {Path.cwd()}:

  the inbox      cp FILE {home / "inbox"}/
  the archive    ls {home / "archive"}
  the report     cat {report}
  the index      PYTHONPATH=examples {scripts / "python"} -m dropfolder.search queue
  the queues     {scripts / "asyncmq"} {config} queue list
  the jobs       {scripts / "asyncmq"} {config} job list --queue announce --state completed
  the daemon     {scripts / "asyncmqd"} status {config}
  its limits     edit {var / "queues.toml"}, then {scripts / "asyncmqd"} reload {config}
  its log        tail -f {var / "daemon.log"}

Attempts fail on purpose: the endpoint of the example refuses some requests, and such jobs are
retried until they succeed. Ctrl-C ends it, after the jobs that run have finished.
"""


if __name__ == "__main__":
    raise SystemExit(main())
