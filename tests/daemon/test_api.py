"""/api/v1 and the control socket: the verbs of the store, who asks, and the document of it all."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncmqd.admin.verbs import VERBS
from asyncmqd.web.openapi import DAEMON, document
from tests.daemon.harness import Daemon, Store, until
from tests.servers import free_port

Make = Callable[..., Daemon]


class Answer(NamedTuple):
    status: int
    body: Any

    @property
    def result(self) -> Any:
        assert (self.status, self.body["ok"]) == (200, True), self
        return self.body["result"]

    @property
    def error(self) -> str:
        assert self.body["ok"] is False
        assert self.body.keys() == {"ok", "error"}
        return str(self.body["error"])


class Api:
    """Asks one daemon for JSON."""

    def __init__(self, port: int, token: str | None) -> None:
        self._port, self._token = port, token

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        if self._token is not None:
            headers.setdefault("Authorization", f"Bearer {self._token}")
        try:
            connection.request(method, f"/api/v1/{path}", body, headers)
            response = connection.getresponse()
            assert response.headers["Content-Type"] == "application/json"
            return Answer(response.status, json.loads(response.read()))
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, key: str = "", **arguments: Any) -> Answer:
        headers = {"Idempotency-Key": key} if key else {}
        return self.ask("POST", path, json.dumps(arguments).encode(), **headers)


class Site(NamedTuple):
    """A daemon with tokens for both roles."""

    daemon: Daemon
    reader: Api
    operator: Api
    stranger: Api
    nobody: Api
    store: Store


@pytest.fixture
def site(daemon: Make, store: Store, place: Path) -> Site:
    port, tokens = free_port(), place / "tokens"
    lines = (f"{name} {role} {sha256(name.encode()).hexdigest()}\n" for name, role in ROLES)
    tokens.write_text("".join(lines))
    keys = f'[http]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{tokens}"\n'
    made = daemon(store.url, f"{keys}[queues.mail]\nconcurrency = 2\n").start()
    clients = (Api(port, token) for token in ("rita", "olga", "eve", None))
    return Site(made, *clients, store)


ROLES = (("rita", "read"), ("olga", "operate"))


def test_who_may_ask_for_what(site: Site) -> None:
    missing, wrong = site.nobody.get("queues"), site.stranger.get("queues")
    assert (missing.status, wrong.status) == (401, 401)
    assert missing.error == "expected the header Authorization: Bearer TOKEN, got none"
    assert wrong.error == "expected a token of token_file, got another one"
    other = site.nobody.ask("GET", "queues", Authorization="Basic eve")
    assert (other.status, "got 'Basic'" in other.error) == (401, True)
    assert (site.nobody.get("nosuch").status, site.reader.get("nosuch").status) == (401, 404)
    for name, verb in VERBS.items():
        if verb.operates:
            assert site.reader.post(name).status == 403
            assert site.operator.get(name).status == 405
        else:
            assert site.reader.post(name).status == 405
    refused = site.reader.post("pause", queue="mail")
    assert refused.error == "pause: expected a token of the role operate"
    assert site.reader.ask("GET", "queues", Host="evil.example").status == 403
    assert not site.store.counts("mail").paused


FEW = "a whole number from 1 to 1000"


def test_wrong_arguments_are_told(site: Site) -> None:
    def error(path: str, **arguments: Any) -> tuple[int, str]:
        answer = site.operator.post(path, **arguments)
        return answer.status, answer.error

    assert error("pause") == (400, "pause: queue: expected text, got nothing")
    assert error("pause", queue=7) == (400, "pause: queue: expected text, got 7")
    unknown = "pause: expected queue, reason, got 'raeson' (did you mean reason?)"
    assert error("pause", queue="mail", raeson="x") == (400, unknown)
    wrong = error("retry", ids=["a", 2])
    assert wrong == (400, "retry: ids[1]: expected text, got 2")
    assert error("pause", queue="mial")[0] == 404
    assert error("pause", queue="mail", reason="x\ny")[0] == 400
    assert error("retry", ids=["a"], state="failed")[0] == 400
    assert error("retry", queue="mail") == (400, "expected ids, or a queue and a state")
    assert error("retry", queue="mail", state="done")[0] == 400
    assert error("enqueue", task="mark", timeout="soon")[1].startswith("timeout: expected")
    wrong = error("enqueue", task="mark", args={})
    assert wrong == (400, "enqueue: args: expected an array, got an object")
    wrong = error("enqueue", task="mark", priority=True)
    assert wrong == (400, "enqueue: priority: expected a whole number or null, got true")
    expected = "the body: expected a JSON object, got"
    assert site.operator.ask("POST", "pause", b"[1]").error == f"{expected} an array"
    broken = site.operator.ask("POST", "pause", b'{"queue": mail}')
    assert broken == (
        400,
        {"ok": False, "error": f"{expected} Expecting value at line 1, column 11"},
    )
    few = site.reader.get("jobs?limit=0")
    assert few == (400, {"ok": False, "error": f"jobs: limit: expected {FEW}, got '0'"})
    assert site.reader.get("jobs?after=x").status == 400
    assert site.reader.get("jobs?older_than=-5m").status == 400
    assert site.reader.get("job?id=nosuch").status == 404


def test_a_queue_is_paused_and_resumed_by_somebody(site: Site) -> None:
    api, daemon = site.operator, site.daemon
    assert api.post("pause", queue="mail", reason="down").result == {
        "queue": "mail",
        "paused": True,
    }
    told = daemon.wait_for("queue.paused")
    assert (told["paused_by"], told["reason"]) == ("olga", "down")
    paused = api.get("queue?queue=mail").result
    assert (paused["pause"]["by"], paused["resumed"]) == ("olga", None)
    assert api.post("resume", queue="mail", reason="up again").result["paused"] is False
    ended = daemon.wait_for("queue.resumed")
    assert (ended["paused_by"], ended["resumed_by"]) == ("olga", "olga")
    resumed = api.get("queue?queue=mail").result["resumed"]
    assert (resumed["by"], resumed["reason"]) == ("olga", "up again")
    assert resumed["since"] >= paused["pause"]["since"]
    verbs = [each["verb"] for each in site.reader.get("operations?queue=mail").result]
    assert verbs == ["resume", "pause"]
    operated = daemon.all("daemon.operated")
    assert [(each["action"], each["by"]) for each in operated] == [
        ("pause", "olga"),
        ("resume", "olga"),
    ]


def test_jobs_are_enqueued_once_for_each_key(site: Site) -> None:
    api = site.operator
    first = api.post("enqueue", "order 17", task="mark", queue="mail", retries=3).result
    again = api.post("enqueue", "order 17", task="mark", queue="mail", retries=3).result
    assert (first["existed"], again["existed"], again["id"]) == (False, True, first["id"])
    other = api.post("enqueue", "order 17", task="mark", queue="mail", args=[1])
    assert other.status == 409
    assert "it stands for job" in other.error
    assert api.post("enqueue", task="mark", queue="mail").result["existed"] is False
    until(lambda: site.store.counts("mail").completed == 2)
    late = api.post("enqueue", "order 17", task="mark", queue="mail").result
    assert (late["existed"], late["id"]) == (True, first["id"])
    assert site.daemon.tally()[first["id"]] == 1
    shown = site.reader.get(f"job?id={first['id']}&queue=mail").result
    assert (shown["state"], shown["retries"]) == ("completed", 3)


def test_a_job_with_options_that_mean_nothing_is_refused(site: Site) -> None:
    for options, told in (
        ({"cost": 0}, "cost: expected a whole number from 1 to 1000000, got 0"),
        ({"unique_for": 5}, "unique_for: expected `unique` beside it, which says which jobs"),
        ({"unique": "a", "on_conflict": "push"}, "on_conflict: expected a delay beside 'push'"),
    ):
        refused = site.operator.post("enqueue", task="mark", queue="mail", **options)
        assert (refused.status, refused.error[: len(told)]) == (400, told)
    assert site.reader.get("jobs?queue=mail").result["jobs"] == []


def test_jobs_are_searched_and_moved(site: Site) -> None:
    api, reader = site.operator, site.reader
    site.store.add("mail", "mark", ["a", "b", "c"], delay=3_600.0)
    found = reader.get("jobs?queue=mail&state=delayed&task=mark&limit=2").result
    assert [job["id"] for job in found["jobs"]] == ["a", "b"]
    rest = reader.get(f"jobs?queue=mail&state=delayed&after={found['after']}").result
    assert ([job["id"] for job in rest["jobs"]], rest["after"]) == (["c"], None)
    named = api.post("cancel", ids=["a", "nosuch"], reason="no").result
    assert named["jobs"] == {"a": None, "nosuch": "job nosuch: there is none of this id"}
    begun = api.post("run_now", queue="mail", task="mark", reason="now").result["operation"]
    assert (begun["state"], begun["by"], begun["reason"]) == ("running", "olga", "now")
    ended = site.daemon.wait_for("operation.ended", operation=begun["id"])
    assert (ended["action"], ended["moved"], ended["by"]) == ("run_now", 2, "olga")
    assert reader.get(f"operation?id={begun['id']}").result["state"] == "done"
    assert api.post("cancel_operation", id=begun["id"]).status == 409
    until(lambda: site.store.counts("mail").completed == 2)
    api.post("purge", queue="mail", state="cancelled")
    until(lambda: site.store.counts("mail").cancelled == 0)


def test_what_jobs_carry_can_be_hidden(daemon: Make, file: Store) -> None:
    port = free_port()
    keys = f'[http]\nlisten = "127.0.0.1:{port}"\nhide_arguments = true\n'
    made = daemon(file.url, f"{keys}[queues.mail]\n").start()
    api = Api(port, None)
    file.add("mail", "nap", ["a"], 3_600)
    until(lambda: made.tally("began")["a"])
    [listed] = api.get("jobs?queue=mail&state=active").result["jobs"]
    for job in (listed, api.get("job?id=a").result):
        assert (job["task"], job["state"], job["args"], job["kwargs"]) == (
            "nap",
            "active",
            None,
            None,
        )
    assert made.ask("job", id="a")["args"] == [3_600]


def test_nobody_operates_by_what_is_hidden(daemon: Make, file: Store, place: Path) -> None:
    """The number of jobs that were moved would tell whether a guess was right."""
    port, tokens = free_port(), place / "tokens"
    tokens.write_text(f"olga operate {sha256(b'olga').hexdigest()}\n")
    keys = f'[http]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{tokens}"\nhide_arguments = true\n'
    made = daemon(file.url, f"{keys}[queues.mail]\n").start()
    file.add("mail", "mark", ["a"], delay=3_600.0, key="customer-7")
    api = Api(port, "olga")
    for chosen in ({"key": "customer-7"}, {"error": "E"}, {"alike": "E: "}):
        asked = json.dumps({"queue": "mail", "state": "delayed"} | chosen).encode()
        refused = api.ask("POST", "cancel", asked)
        assert (refused.status, "hide_arguments" in refused.error) == (409, True)
    assert file.counts("mail").delayed == 1
    made.ask("pause", queue="mail")
    begun = made.ask("cancel", queue="mail", state="delayed", key="customer-7")
    id = begun["operation"]["id"]
    for answer in (api.get(f"operation?id={id}"), api.post("cancel_operation", id=id)):
        assert "customer-7" not in str(answer)
    asked = json.dumps({"task": "mark", "queue": "mail", "key": "customer-7"}).encode()
    assert api.ask("POST", "enqueue", asked).status == 200


def test_the_control_socket_has_the_same_verbs(site: Site) -> None:
    daemon = site.daemon
    assert daemon.ask("pause", queue="mail", reason="down") == {"queue": "mail", "paused": True}
    assert site.store.counts("mail").paused
    [pause] = daemon.ask("operations", queue="mail")
    assert pause["verb"] == "pause"
    assert pause["by"] == daemon.wait_for("queue.paused")["paused_by"]
    assert daemon.ask("resume", queue="mail")["paused"] is False
    until(lambda: [each["name"] for each in daemon.ask("queues")] == ["mail"])


def test_the_document_is_true(site: Site) -> None:
    """Each path is there, with its method and role, and each answer has the form it names."""
    found = site.reader.get("openapi.json").body
    assert found == json.loads(json.dumps(document("")))
    paths = {path.removeprefix("/api/v1/"): methods for path, methods in found["paths"].items()}
    assert paths.pop("queues/{queue}/history")["get"]["parameters"][0]["in"] == "path"
    assert paths.keys() == {*DAEMON, *VERBS, "events"}
    named = {line.removeprefix("expected one of ") for line in [site.reader.get("x").error]}
    assert named == {", ".join([*paths, "openapi.json"])}
    site.store.add("mail", "mark", ["a"], delay=3_600.0)
    site.operator.post("cancel", ids=["a"])
    id = site.reader.get("operations").result[0]["id"]
    for path, query in (
        ("queues", ""),
        ("queue", "?queue=mail"),
        ("jobs", ""),
        ("job", "?id=a"),
        ("operations", ""),
        ("schedules", ""),
        ("operation", f"?id={id}"),
        ("ping", ""),
        ("status", ""),
    ):
        operation = paths[path]["get"]
        known = {each["name"] for each in operation["parameters"]}
        assert {part.partition("=")[0] for part in query[1:].split("&") if part} <= known
        conforms(site.reader.get(path + query).body, answer_of(operation), found)
    conforms(site.nobody.get("queues").body, schema_of(operation, "401"), found)
    for name, arguments in (
        ("pause", {"queue": "mail"}),
        ("resume", {"queue": "mail"}),
        ("retry", {"ids": ["a"]}),
        ("purge", {"queue": "mail", "state": "failed"}),
        ("enqueue", {"task": "mark", "queue": "mail"}),
    ):
        operation = paths[name]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        conforms(arguments, body, found)
        conforms(site.operator.post(name, **arguments).body, answer_of(operation), found)


def answer_of(operation: Any) -> Any:
    return schema_of(operation, "200")


def schema_of(operation: Any, status: str) -> Any:
    return operation["responses"][status]["content"]["application/json"]["schema"]


TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}


def conforms(value: Any, schema: Any, whole: Any) -> None:
    """As much of JSON Schema as the document uses."""
    if "$ref" in schema:
        conforms(value, whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]], whole)
    elif "anyOf" in schema:
        assert any(fits(value, each, whole) for each in schema["anyOf"]), (value, schema)
    elif "const" in schema:
        assert value == schema["const"]
    elif "enum" in schema:
        assert value in schema["enum"]
    elif "type" in schema:
        assert isinstance(value, TYPES[schema["type"]]), (value, schema)
        if isinstance(value, dict):
            conform_fields(value, schema, whole)
        elif isinstance(value, list):
            for each in value:
                conforms(each, schema.get("items", {}), whole)


def conform_fields(value: dict[str, Any], schema: Any, whole: Any) -> None:
    known = schema.get("properties", {})
    assert set(schema.get("required", ())) <= value.keys()
    others = schema.get("additionalProperties", {} if not known else False)
    for name, each in value.items():
        if name in known:
            conforms(each, known[name], whole)
        else:
            assert others is not False, f"{name} is not in the document"
            conforms(each, others if isinstance(others, dict) else {}, whole)


def fits(value: Any, schema: Any, whole: Any) -> bool:
    try:
        conforms(value, schema, whole)
    except AssertionError:
        return False
    return True


def test_a_daemon_of_several_processes_does_it_too(daemon: Make, file: Store, place: Path) -> None:
    port, tokens = free_port(), place / "tokens"
    tokens.write_text(f"olga operate {sha256(b'olga').hexdigest()}\n")
    keys = f'[http]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{tokens}"\n'
    made = daemon(file.url, f"{keys}[queues.mail]\n", top="processes = 2\n").start()
    file.add("mail", "mark", ["a", "b", "c"], delay=3_600.0)
    begun = Api(port, "olga").post("run_now", queue="mail").result["operation"]
    made.wait_for("operation.ended", operation=begun["id"])
    until(lambda: file.counts("mail").completed == 3)
    assert made.stop() == 0
