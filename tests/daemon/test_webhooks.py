"""Webhooks: real requests to a receiver on this host, and what is never requested."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import StoreError
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.load import load
from asyncmqd.config.values import Secret
from asyncmqd.config.webhooks import Webhook, read_secret
from asyncmqd.daemon.webhooks import delivery
from asyncmqd.daemon.webhooks.delivery import NotDelivered, deliver, is_public, signed
from asyncmqd.daemon.webhooks.sending import QUEUE, Failures, Queues, Watch
from asyncmqd.domain.change import Change
from asyncmqd.domain.codec import decode_spec
from asyncmqd.domain.job import Claim, Failure, NewJob
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.retry import Reject
from asyncmqd.domain.settle import encode_failure
from asyncmqd.domain.states import State
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext
from tests.daemon.conftest import mostly_on
from tests.daemon.harness import Store, until
from tests.runtime.virtual import store_clock, virtual

TLS = Path(__file__).parents[1] / "unit" / "tls" / "localhost.pem"
SECRET = b"0123456789abcdef0123456789abcdef"
TEXT = f"whsec_{base64.b64encode(SECRET).decode()}\n"


class Receiver(ThreadingHTTPServer):
    """Answers with `statuses`, the last one again and again, and keeps what came."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses = [200]
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def events(self) -> list[dict[str, Any]]:
        bodies = [json.loads(body) for _, _, body in list(self.requests)]
        return [event for body in bodies for event in body["data"]["events"]]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, {**self.headers}, body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running
        running.shutdown()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def table(url: str, secret: Path | str, *more: str, name: str = "ops") -> str:
    keys = (f'name = "{name}"', f'url = "{url}"', f'secret_file = "{secret}"', *more)
    return "\n".join(["[[webhooks]]", *keys, ""])


def is_signed(headers: dict[str, str], body: bytes) -> bool:
    """As a receiver would look at it."""
    text = f"{headers['Webhook-Id']}.{headers['Webhook-Timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(SECRET, text, sha256).digest()).decode()
    return headers["Webhook-Signature"] == f"v1,{wanted}"


# ---------------------------------------------------------------------- whole daemons


@mostly_on("sqlite")
@pytest.mark.parametrize("processes", [1, 2])
def test_a_job_that_fails_is_told(daemon, store: Store, receiver, secret, processes: int) -> None:
    hooks = table(receiver.url, secret, "allow_private = true")
    queues = "[queues.mail]\n[queues.web]\nwebhooks = []\n"
    d = daemon(store.url, hooks + queues, top=f"processes = {processes}\n").start()
    store.add("web", "fail_with", ["w"], "not told")
    d.wait_for("job.failed", job_id="w")
    store.add("mail", "fail_with", ["a"], "no such address")
    event = until(receiver.events)[0]
    known = {"event": "job.failed", "queue": "mail", "job_id": "a", "task": "fail_with"}
    assert known.items() <= event.items()
    assert event["error"] == "ValueError: no such address"
    [(path, headers, body)] = receiver.requests
    assert path == "/hook"
    assert headers["Content-Type"] == "application/json"
    assert is_signed(headers, body)
    assert not is_signed({**headers, "Webhook-Timestamp": "1"}, body)
    assert json.loads(body)["type"] == "job.failed"
    until(lambda: store.counts(QUEUE).completed == 1)
    changed = queues.replace("[]", '["ops"]')
    d.configure(hooks + changed, top=f"processes = {processes}\n")
    assert d.cli("reload").stdout.splitlines() == ["~ queue web: webhooks: [] -> ['ops']"]
    store.add("web", "fail_with", ["x"], "told")
    until(lambda: [each["job_id"] for each in receiver.events()] == ["a", "x"])
    assert d.stop() == 0


@mostly_on("sqlite")
def test_a_private_address_is_not_asked_and_a_webhook_tells_of_no_webhook(
    daemon, store: Store, receiver, secret
) -> None:
    d = daemon(store.url, table(receiver.url, secret) + "[queues.mail]\n").start()
    store.add("mail", "fail_with", ["a"], "x")
    failed = d.wait_for("job.failed", queue=QUEUE)
    assert failed["error"] == "Reject: expected a public address, got 127.0.0.1: see allow_private"
    store.add("mail", "fail_with", ["b"], "x")
    until(lambda: store.counts(QUEUE).failed == 2)
    assert d.stop() == 0
    counts = store.counts(QUEUE)
    assert (counts.failed, counts.waiting, counts.delayed, counts.active) == (2, 0, 0, 0)
    assert receiver.requests == []


def test_a_receiver_that_does_not_answer_delays_no_other(
    daemon, file: Store, receiver, secret
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        hooks = table(url, secret, "allow_private = true", name="silent")
        hooks += table(receiver.url, secret, "allow_private = true", name="quick")
        queues = '[queues.mail]\nwebhooks = ["silent"]\n[queues.web]\nwebhooks = ["quick"]\n'
        d = daemon(file.url, hooks + queues).start()
        for number in range(3):  # each is a request of its own
            file.add("mail", "fail_with", [f"m{number}"], "x")
            until(lambda: (c := file.counts(QUEUE)).active + c.waiting > number)  # noqa: B023
        assert file.counts(QUEUE).active == 2
        file.add("web", "fail_with", ["w"], "x")
        assert until(receiver.events)[0]["job_id"] == "w"
        # That one's delivery may not have been settled yet; of the others nobody was given up.
        until(lambda: ((c := file.counts(QUEUE)).active, c.waiting) == (2, 1))
        d.kill()


# ---------------------------------------------------------------------- one request


async def send(receiver: Receiver, **options: bool) -> None:
    await deliver(receiver.url, "msg_1", b"{}", SECRET, **{"allow_private": True, **options})


async def test_redirects_and_errors_are_no_success(receiver: Receiver) -> None:
    receiver.statuses = [302, 500, 204]
    with pytest.raises(NotDelivered, match="got 302: redirects are not followed"):
        await send(receiver)
    with pytest.raises(NotDelivered, match="got 500"):
        await send(receiver)
    await send(receiver)
    assert [path for path, *_ in receiver.requests] == ["/hook"] * 3
    receiver.statuses = [410]
    with pytest.raises(Reject, match="wants no more"):
        await send(receiver)


async def test_a_receiver_that_never_ends_takes_no_longer_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "LIMIT", 0.3)
    ended = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-Slow: 1\r\n")
            await asyncio.sleep(0.02)
        writer.close()
        ended.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(NotDelivered, match="no answer within"):
            await deliver(url, "msg_1", b"{}", SECRET, allow_private=True)
        await ended.wait()


@pytest.fixture
def over_tls(receiver: Receiver) -> str:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS, TLS.with_suffix(".key"))
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    return receiver.url.replace("http://127.0.0.1", "https://localhost") + "?y=1"


async def test_certificates_are_checked_by_the_name(
    over_tls: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotDelivered, match="CERTIFICATE_VERIFY_FAILED"):
        await deliver(over_tls, "msg_1", b"{}", SECRET, allow_private=True)
    trusting = ssl.create_default_context(cafile=TLS)
    monkeypatch.setattr(delivery, "_tls", lambda: trusting)
    await deliver(over_tls, "msg_1", b"{}", SECRET, allow_private=True)


async def test_each_address_of_a_name_is_looked_at_and_no_other_is_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look-up of a name whose owner means harm would lead here."""
    answers = [["93.184.215.14", "127.0.0.1"], ["127.0.0.1"]]

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    monkeypatch.setattr(delivery, "_resolve", resolve)
    url = receiver.url.replace("127.0.0.1", "hooks.example.org")
    with pytest.raises(Reject, match=r"got 127\.0\.0\.1"):
        await deliver(url, "msg_1", b"{}", SECRET)
    await deliver(url, "msg_1", b"{}", SECRET, allow_private=True)
    assert receiver.requests[0][1]["Host"].startswith("hooks.example.org:")


async def test_an_address_that_never_answers_leaves_time_for_the_next(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with an IPv6 address, on a host from which IPv6 leads nowhere."""
    port = receiver.server_address[1]

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    monkeypatch.setattr(delivery, "_resolve", resolve)
    monkeypatch.setattr(delivery, "NEXT", 0.05)
    with silent("127.0.0.2", port):
        await deliver(receiver.url, "msg_1", b"{}", SECRET, allow_private=True)
    assert len(receiver.requests) == 1


@contextlib.contextmanager
def silent(address: str, port: int) -> Iterator[None]:
    """Who connects there gets no answer: as many as it takes have connected before."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(3):
            waits = stack.enter_context(socket.socket())
            waits.setblocking(False)
            waits.connect_ex((address, port))
        yield


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%lo", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.215.14", True),
        ("::ffff:224.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d70e", True),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example that is in its documents."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    id, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    headers = dict(signed(id, 1614265330, body, secret))
    assert headers["Webhook-Signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


# ---------------------------------------------------------------------- what is told


def hook(**keys: Any) -> Webhook:
    return Webhook(name="ops", url=Secret("https://x.example"), secret_file="/s", **keys)


def serving(*names: str) -> Queues:
    queues = dict.fromkeys(names, QueueOptions())
    return lambda: queues


def test_a_queue_says_itself_which_webhooks_are_told_of_it() -> None:
    queues = {
        "mail": QueueOptions(webhooks=("ops", "other")),
        "web": QueueOptions(webhooks=("other",)),
        "quiet": QueueOptions(webhooks=()),
        "plain": QueueOptions(),
    }

    def told(webhook: Webhook) -> set[str]:
        return {name for name in (*queues, "gone") if webhook.is_about("queue.late", name, queues)}

    assert told(hook()) == {"mail", "plain", "gone"}
    assert told(hook(queues=("plain",))) == {"mail", "plain"}
    assert told(hook(events=("job.failed",))) == set()


async def told(store: InMemoryBackend) -> list[dict[str, Any]]:
    records = await store.list(QUEUE, State.WAITING)
    specs = [decode_spec(each.payload, len(each.payload)) for each in records]
    assert {spec.task for spec in specs} <= {"asyncmqd.webhook.ops"}
    return [json.loads(spec.args[0])["data"] for spec in specs]


Play = Callable[[InMemoryBackend, ProcessContext], Any]


async def in_context(play: Play) -> None:
    store = InMemoryBackend(now=store_clock)
    async with ProcessContext(store, observer=Observer([])) as context:
        await play(store, context)


@virtual
async def test_a_queue_is_late_once_it_was_seen_so_for_a_while() -> None:
    async def play(store: InMemoryBackend, context: ProcessContext) -> None:
        watch = Watch(context, [hook(queues=("mail",), late_after=60.0)], serving("mail", "web"))
        for queue in ("mail", "web"):
            await store.add(queue, [NewJob(id="a", payload=b"{}")])
        for _ in range(2):
            await watch.look()
        assert await told(store) == []
        await asyncio.sleep(61)
        for _ in range(2):
            await watch.look()
        assert await told(store) == []
        for _ in range(20):
            await watch.look()
        [data] = await told(store)
        [event] = data["events"]
        assert (event["event"], event["queue"]) == ("queue.late", "mail")
        assert event["reason"] == "the oldest job has waited for 61 s"
        # Another daemon that sees the same tells nothing more.
        other = Watch(context, [hook(late_after=60.0)], serving("mail"))
        for _ in range(5):
            await other.look()
        assert len(await told(store)) == 1

    await in_context(play)


@virtual
async def test_a_silent_process_is_dead_and_one_that_left_is_not() -> None:
    async def play(store: InMemoryBackend, context: ProcessContext) -> None:
        watch = Watch(context, [hook()], serving())
        await store.beat("web1/a", b"{}", 30.0)
        await store.beat("web2/b", b"{}", 30.0)
        await asyncio.sleep(15)
        await store.leave("web2/b")
        await watch.look()
        assert await told(store) == []
        await asyncio.sleep(6)
        for _ in range(3):
            await watch.look()
        [data] = await told(store)
        [event] = data["events"]
        assert (event["event"], event["worker"]) == ("daemon.dead", "web1/a")
        [claim] = await store.claim(QUEUE, 1, 60.0, "w")
        ended = Change(queue=QUEUE, id=claim.id, edge="succeed", token=claim.token, keep=60.0)
        assert await store.apply(QUEUE, [ended]) == ["applied"]
        await watch.look()
        assert await told(store) == [], "it is told once, also when that is delivered"

    await in_context(play)


@virtual
async def test_many_failures_are_one_request_and_the_rest_is_counted() -> None:
    async def play(store: InMemoryBackend, context: ProcessContext) -> None:
        failures = Failures(context, [hook()], serving("mail"))
        failures.start()
        for number in range(130):
            note_failure(context, "mail", f"{number}")
        note_failure(context, QUEUE, "of a webhook")
        await asyncio.sleep(5)
        [data] = await told(store)
        assert data["missed"] == 30
        assert [each["job_id"] for each in data["events"]] == [f"{n}" for n in range(30, 130)]
        note_failure(context, "mail", "last")

    store = InMemoryBackend(now=store_clock)
    async with ProcessContext(store, observer=Observer([])) as context:
        await play(store, context)
    assert len(await told(store)) == 2, "the last is told at the end"


@virtual
async def test_what_may_have_been_enqueued_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the enqueue is lost, and then the store is away for a while."""

    async def play(store: InMemoryBackend, context: ProcessContext) -> None:
        add, calls = store.add, iter(range(9))

        async def lossy(queue: str, jobs: Sequence[NewJob]) -> Any:
            number = next(calls)
            found = await add(queue, jobs) if number in {0, 3} else None
            if number < 3:
                raise StoreError("no answer")
            return found or await add(queue, jobs)

        monkeypatch.setattr(store, "add", lossy)
        Failures(context, [hook()], serving("mail")).start()
        note_failure(context, "mail", "a")
        await asyncio.sleep(1.5)
        note_failure(context, "mail", "b")
        await asyncio.sleep(20)
        events = [each for data in await told(store) for each in data["events"]]
        assert [each["job_id"] for each in events] == ["a", "b"]

    await in_context(play)


def note_failure(context: ProcessContext, queue: str, id: str) -> None:
    error = encode_failure(Failure("ValueError", "x" * 1_000))
    change = Change(queue=queue, id=id, edge="fail", token=1, error=error)
    claim = Claim(queue=queue, id=id, token=1, payload=b"", size=0, age=0.0)
    context.observer.change(change, claim, "task")


# ---------------------------------------------------------------------- configuration


def test_what_is_wrong_is_told_without_secrets(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "q.toml"
    top = f'backend = "sqlite:///{tmp_path}/jobs.db"\n'

    def problems(*tables: str) -> str:
        path.write_text(top + "".join(tables) + "[queues.mail]\n")
        with pytest.raises(ConfigErrors) as found:
            load(path, {})
        return str(found.value)

    good = "https://hooks.example.org/T0/secret"
    assert "q.toml:3: webhooks[0].name: expected up to 50" in problems(
        table(good, secret, name="Ops!")
    )
    assert "expected another name, got 'ops' again" in problems(table(good, secret) * 2)
    assert "expected queues of this configuration, got 'web'" in problems(
        table(good, secret, 'queues = ["web"]')
    )
    assert "expected names of [[webhooks]], got 'chat'" in problems(
        table(good, secret), '[defaults]\nwebhooks = ["ops", "chat"]\n'
    )
    assert "webhooks[0].queues: expected queues whose own webhooks name it, got 'mail'" in problems(
        table(good, secret, 'queues = ["mail"]'), "[defaults]\nwebhooks = []\n"
    )
    assert "got something else" in problems(table("ftp://x/T0/secret", secret))
    assert "without user and password" in problems(table("https://u:secret@x/", secret))
    assert "expected 'job.failed', 'queue.late'" in problems(table(good, secret, 'events = ["x"]'))
    assert "secret_file" in problems(table(good, tmp_path / "none"))
    for url in ("ftp://x/T0/secret", "https://u:secret@x/"):
        assert "secret@" not in problems(table(url, secret))
        assert "T0/secret" not in problems(table(url, secret))
    secret.chmod(0o644)
    assert "expected a file that not everybody can read" in problems(table(good, secret))
    secret.chmod(0o600)
    secret.write_text("hunter2")
    assert "expected whsec_" in problems(table(good, secret))
    assert "hunter2" not in problems(table(good, secret))


def test_a_credential_is_read_where_the_unit_has_one(tmp_path: Path, secret: Path) -> None:
    assert read_secret("credential:secret", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == SECRET
    with pytest.raises(ValueError, match="LoadCredential="):
        read_secret("credential:secret", {})
    path = tmp_path / "q.toml"
    hooks = table("https://hooks.example.org/T0", "credential:hook")
    path.write_text(f'backend = "sqlite:///{tmp_path}/jobs.db"\n{hooks}[queues.mail]\n')
    [found] = load(path, {}).webhooks  # as a person who checks it
    assert (found.name, found.events) == ("ops", ("job.failed", "queue.late", "daemon.dead"))
    assert "T0" not in repr(found)
    with pytest.raises(ConfigErrors):
        load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
