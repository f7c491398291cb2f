"""F58: a canary password goes wherever a password may be written, and comes out nowhere."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncmqd.backends.base import Held, StoreError
from asyncmqd.backends.factory import open_backend
from asyncmqd.backends.redis.address import parse
from asyncmqd.backends.redis.redaction import HIDDEN, without_login
from asyncmqd.cli.asyncmq import main
from asyncmqd.config.urls import check_backend
from asyncmqd.domain.url_redaction import redacted
from tests.servers import RedisServer, free_port

CANARY = "cAnArY0815"

# ---------------------------------------------------------------------- URLs

URLS = [
    f"redis://:{CANARY}@host",
    f"redis://{CANARY}@host",
    f"redis://:a/{CANARY}@host",
    f"redis://:12/{CANARY}@host",
    f"redis://:12#{CANARY}@host",
    f"redis://:12?{CANARY}@host",
    f"redis://:12?a={CANARY}@host",
    f"redis://:1@2/{CANARY}@host",
    f"redis://:{CANARY}\u2100@host",
    f"redis://:{CANARY}[@host",
    f"redis://:{CANARY}\n@host",
    f"redis://:{CANARY}@host:port",
    f"redis://:{CANARY}@one,two",
    f"redis://:{CANARY}@host/database",
    f"redis://host?password={CANARY}",
    f"redis://:{CANARY}@host?oops=1",
    f"rediss://:{CANARY}@host?ssl_cert_reqs=perhaps",
    f"redis+sentinel://:{CANARY}@host",
    f"redis+sentinel://:12/{CANARY}@host/name",
    f"redis+sentinel://host/name?sentinel_password={CANARY}&db=x",
    f"redis+cluster://:{CANARY}@host/1",
    f"unix://:{CANARY}@/run/s?db=x",
    f"unix://:12/{CANARY}@/run/s",
    f"mysql://:{CANARY}@host",
    f"redis:/:{CANARY}@host",
]


@pytest.mark.parametrize("url", URLS)
def test_no_error_about_a_url_repeats_its_password(url, capsys, tmp_path):
    def told(read: Callable[[str], object]) -> str:
        try:
            found = read(url)
        except ValueError as error:
            return "".join(traceback.format_exception(error))
        return f"{found!r} {getattr(found, 'url', '')}"

    # check_backend answers with the URL itself, for the store.
    shown = told(lambda url: check_backend(url) and None) + told(parse) + told(open_backend)
    for arguments in (["--backend", url, "queue", "list"], ["--config", "C", "queue", "list"]):
        config = tmp_path / "q.toml"
        config.write_text(f"backend = '''{url}'''\n[queues.q]\n")
        with pytest.raises(SystemExit):
            main([str(config) if each == "C" else each for each in arguments])
        shown += "".join(capsys.readouterr())
    assert CANARY not in shown


@pytest.mark.parametrize("url", URLS[:-1])
def test_what_is_shown_of_a_url_has_no_password(url):
    assert CANARY not in redacted(url) or "@" not in url


# ---------------------------------------------------------------------- errors of the store


@pytest.fixture
def parrot() -> Iterator[Callable[[Callable[[bytes], bytes]], int]]:
    """Starts a server on loopback that answers whatever it is sent; its port."""
    listeners: list[socket.socket] = []

    def start(answer: Callable[[bytes], bytes]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_serve, args=(listener, answer), daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def _serve(listener: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    try:
        while True:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(65_536):
                    connection.sendall(answer(data))
    except OSError:
        return  # the test is over, or the client went away in the middle


def _repeating(data: bytes) -> bytes:
    """As servers do that do not know AUTH."""
    words = [word for word in data.split(b"\r\n") if word[:1] not in b"*$"]
    return b"-ERR unknown command 'AUTH', with args beginning with: '%b'\r\n" % b"' '".join(words)


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "repeats": _repeating,
    "cuts what it repeats": lambda data: b"-ERR '%b'\r\n" % data[:-4].replace(b"\r\n", b"' '"),
    "names the user": lambda _: b"-NOPERM User me has no permissions to run the 'ping' command\r\n",
    "wrong password": lambda _: b"-WRONGPASS invalid username-password pair or user disabled\r\n",
    "moved": lambda _: b"+OK\r\n-MOVED 1 127.0.0.1:1\r\n",
    "repeats in what is no reply": lambda data: b"?" + data + b"\r\n",
    "loading": lambda _: b"-LOADING " + CANARY.encode() + b"\r\n",
    "silent": lambda _: b"",
}


SLOW = {"silent", "moved"}  # the lease thread's client waits for them as long as it may


def _told(url: str, *, with_leases: bool = True) -> str:
    """All that is to be had from the error of a store that cannot be reached, logs included."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)

    async def fail() -> str:
        backend = open_backend(url)
        texts = []
        extend = backend.extender()
        assert extend is not None
        leases = [lambda: asyncio.to_thread(extend, HELD, 1)] if with_leases else []
        for call in (backend.connect, backend.warnings, *leases):
            with pytest.raises(StoreError) as caught:
                await call()
            logging.getLogger("app").error("it failed", exc_info=caught.value)
            texts.append(f"{caught.value!r}" + "".join(traceback.format_exception(caught.value)))
        await backend.close()
        return "".join(texts)

    try:
        return asyncio.run(fail()) + log.getvalue()
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


HELD = [Held("q", "a", 1)]


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_no_error_of_a_server_repeats_the_password(parrot, scheme, answer):
    url = f"{scheme}://me:{CANARY}@127.0.0.1:{parrot(ANSWERS[answer])}?timeout=0.2"
    told = _told(url, with_leases=answer not in SLOW)
    assert "127.0.0.1" in told
    assert CANARY[:-2] not in told
    assert "me has" not in told


# As Redis escapes what it repeats, as JSON does, as a URL does.
@pytest.mark.parametrize(
    "shown", [r"pass\x9c\"\nword", r"pass\u009c\"\nword", "pass%C2%9C%22%0Aword"]
)
def test_an_escaped_password_is_one_all_the_same(shown):
    said = f"unknown command 'AUTH', with args beginning with: '{shown}"
    assert without_login(said, ['pass\x9c"\nword'], []) == HIDDEN


def test_what_repeats_nothing_stays_as_it_is():
    said = "User *** has no permissions to access the 'name:1' key"
    assert without_login(said.replace("***", "me"), [CANARY], ["me", "default"]) == said


@pytest.mark.parametrize(
    "url", ["redis://me:{c}@127.0.0.1:{port}", "rediss://:{c}@127.0.0.1:{tls}",
            "unix://:{c}@/nowhere/s", "redis+sentinel://:{c}@127.0.0.1:{port}/m?sentinel_password={c}"],
)  # fmt: skip
def test_no_error_on_the_way_to_a_server_repeats_the_password(parrot, url):
    told = _told(url.format(c=CANARY, port=free_port(), tls=parrot(lambda _: b"no TLS here")))
    assert CANARY not in told


# ---------------------------------------------------------------------- the daemon as a whole

APPLICATION = """
import logging, os, subprocess
from pathlib import Path
from asyncmqd import task

@task(name="env", executor="process")
def env():
    logging.error("environment %s", dict(os.environ))
    print(Path("/proc/self/environ").read_bytes(), Path("/proc/self/cmdline").read_bytes())
    follow.enqueue_sync()

@task(name="env_thread")
def env_thread():
    print("program", subprocess.run(["env"], capture_output=True, check=True).stdout)
    follow.enqueue_sync()

@task(name="follow", queue="q")
async def follow():
    print("followed")

@task(name="fails")
async def fails():
    raise RuntimeError("as planned")
"""


def _all_data(server: RedisServer) -> bytes:
    """Every key and value of a server."""
    with server.client() as client:
        keys = list(client.scan_iter())
        return b"".join(key + b"".join(map(bytes, [client.dump(key) or b""])) for key in keys)


def test_the_password_of_a_daemon_is_in_nothing_that_it_leaves_behind(daemon, place, seen):
    directory = place / "redis"
    directory.mkdir()
    (place / "secretive.py").write_text(APPLICATION)
    credentials = place / "credentials"
    credentials.mkdir(0o700)
    with RedisServer("valkey9", directory, options={"requirepass": CANARY}) as server:
        url = f"unix://:{CANARY}@{server.socket}"
        (credentials / "backend_url").write_text(url)
        d = daemon(
            "sqlite:///overridden.db",
            "[queues.q]\n",
            tasks=["secretive"],
            top='log_level = "debug"\n',
            environ={"CREDENTIALS_DIRECTORY": str(credentials)},
        )
        d.start()
        asyncio.run(_enqueue(url))
        d.wait_for("followed", 2)
        d.wait_for("job.failed", task="fails")
        proc = Path(f"/proc/{d.pid}")
        found = {
            "environment": (proc / "environ").read_bytes(),
            "command line": (proc / "cmdline").read_bytes(),
            "store": _all_data(server),
        }
        for command in ("status", "plan", "reload"):
            done = d.cli(command, "--json")
            assert done.returncode == 0, done.stderr
            found[command] = (done.stdout + done.stderr).encode()
        assert json.loads(found["reload"])["needs_restart"] == [], "it found the credential again"
        for arguments in (["queue", "list"], ["job", "list", "--queue", "q"], ["store", "info"]):
            found["asyncmq " + " ".join(arguments)] = _operator(url, arguments)
        server.stop()
        d.wait_for("daemon.degraded")
        d.signal(signal.SIGUSR1)
        d.wait_for("daemon.state")
        found["status while degraded"] = str(d.ask("status")).encode()
        assert d.stop() == 0
    found["log"] = str(d.events).encode()
    found["standard error"] = d.stderr.encode()
    for path in place.rglob("*"):
        if path.is_file() and not {"redis", "credentials"} & set(path.parts):
            found[f"file {path.name}"] = path.read_bytes()
    assert b"environment" in found["log"]
    assert b"program" in found["log"]
    assert b"CREDENTIALS_DIRECTORY" not in found["log"]
    assert [where for where, data in found.items() if CANARY.encode() in data] == []
    seen(f"F58 canary password: in 0 of {len(found)} places ({', '.join(found)})")


async def _enqueue(url: str) -> None:
    from asyncmqd import Queue

    queue = Queue("q", backend=url)
    for task in ("env", "env_thread", "fails"):
        await queue.add(task)
    await queue.backend.close()


def _operator(url: str, arguments: list[str]) -> bytes:
    environ = {"PATH": os.environ["PATH"], "ASYNCMQD_BACKEND": url}
    script = Path(sys.executable).with_name("asyncmq")
    done = subprocess.run([script, *arguments], env=environ, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_core_is_not_dumped():
    units = sorted((Path(__file__).parents[2] / "systemd").glob("asyncmqd*.service"))
    assert len(units) == 2
    assert all("\nLimitCORE=0\n" in unit.read_text() for unit in units)
