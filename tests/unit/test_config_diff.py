"""What a reload would do, from two configurations."""

import json
from datetime import datetime

from asyncmqd.config.diff import diff
from asyncmqd.config.models import LIVE_KEYS, Settings
from asyncmqd.config.otel import Otel
from asyncmqd.config.tables import read
from asyncmqd.config.values import Secret
from asyncmqd.domain.queue_options import KeyOptions, QueueOptions


def settings(queues=None, **keys):
    tables = {"mail": {}} if queues is None else queues
    data = {"backend": "memory://", "control_socket": "/run/a.sock", **keys}
    return read(Settings, data | {"queues": tables})


def test_equal_configurations_make_an_empty_plan():
    plan = diff(settings(lease=10), settings(lease=10))
    assert plan.empty
    assert plan.lines() == []


def test_queues_come_and_go_in_name_order():
    plan = diff(settings({"b": {}, "a": {}, "keep": {}}), settings({"keep": {}, "z": {}, "y": {}}))
    assert (plan.added, plan.removed) == (("y", "z"), ("a", "b"))
    assert not plan.changed
    assert not plan.empty


def test_a_changed_number_names_queue_key_and_both_values():
    old = settings({"mail": {"concurrency": 5}, "other": {}})
    plan = diff(old, settings({"mail": {"concurrency": 20, "rate_limit": 3}, "other": {}}))
    changes = [(change.key, change.old, change.new) for change in plan.changed["mail"]]
    assert changes == [("concurrency", 5, 20), ("rate_limit", None, 3.0)]
    assert list(plan.changed) == ["mail"]
    assert not plan.restarts_worker


def test_a_change_of_repeatables_or_retention_is_seen():
    repeatable = {"task": "a.b", "every": 5}
    plan = diff(settings(), settings({"mail": {"repeatables": [repeatable], "keep_completed": 1}}))
    assert [change.key for change in plan.changed["mail"]] == ["keep_completed", "repeatables"]


def test_scanners_restart_their_worker_only():
    old = settings({"a": {}, "b": {}, "c": {}})
    new = settings({"a": {"executor": "process"}, "b": {"scanners": ["m:f"]}, "c": {"retries": 1}})
    assert diff(old, new).restarts_worker == {"b"}


def test_every_top_level_key_is_either_live_or_waits_for_a_restart():
    other = {
        "backend": "redis://localhost",
        "tasks": ["a.b"],
        "python_path": ["/srv"],
        "processes": 2,
        "shutdown_timeout": 1,
        "control_socket": "/run/b.sock",
        "control_group": "operate",
        "log_level": "debug",
        "log_format": "json",
        "lease": 10,
        "hang_limit": 70,
        "payload_limit": 2_048,
        "stuck_limit": 5,
        "max_concurrency": 5,
        "otel": {"service_name": "shop"},
        "http": {"listen": "127.0.0.1:9140"},
        "webhooks": [{"name": "ops", "url": "https://x.example/T0", "secret_file": "/s"}],
    }
    assert other.keys() == set(Settings.__struct_fields__) - {"queues", "defaults"}
    plan = diff(settings(), settings(**other))
    assert {change.key for change in plan.live} == {
        "shutdown_timeout",
        "log_level",
        "payload_limit",
        "stuck_limit",
        "max_concurrency",
    }
    assert {change.key.partition(".")[0] for change in plan.restart} == other.keys() - LIVE_KEYS


def test_defaults_count_only_through_the_queues_that_they_change():
    assert diff(settings(), settings(defaults={"concurrency": 3})).empty


def test_the_lines_read_well():
    old = settings(
        {"mail": {"concurrency": 5}, "old": {}, "slow": {}},
        backend="redis://:one@localhost",
        lease=15,
    )
    new = settings(
        {"mail": {"rate_limit": 7}, "new": {}, "slow": {"scanners": ["m:f"]}},
        backend="redis://:two@localhost",
        log_level="debug",
        tasks=["a.b"],
    )
    assert diff(old, new).lines() == [
        "+ queue new: start",
        "- queue old: drain and stop",
        "~ queue mail: concurrency: 5 -> 10",
        "~ queue mail: rate_limit: unset -> 7.0",
        "~ queue slow: scanners: [] -> ['m:f'] (its worker restarts)",
        "~ log_level: info -> debug",
        (
            "! backend: redis://***@localhost (another user or password)"
            " (needs a restart of the daemon)"
        ),
        "! tasks: [] -> ['a.b'] (needs a restart of the daemon)",
    ]


def test_the_plan_is_json_without_passwords():
    repeatable = {"task": "a.b", "cron": "0 3 * * *", "args": [1]}
    plan = diff(
        settings(backend="redis://:hunter2@localhost"),
        settings(
            {"new": {}, "mail": {"repeatables": [repeatable]}},
            backend="redis://:hunter3@other",
            python_path=["/srv"],
        ),
    )
    text = json.dumps(plan.to_dict())
    assert "hunter" not in text + "".join(plan.lines()) + repr(plan)
    assert json.loads(text) == {
        "added": ["new"],
        "removed": [],
        "changed": {
            "mail": [{"key": "repeatables", "old": [], "new": [repeatable | {"args": "***"}]}]
        },
        "restarts_worker": [],
        "schedules": [{"queue": "mail", "name": "a.b", "change": "added", "next": []}],
        "live": [],
        "restart": [
            {"key": "backend", "old": "redis://***@localhost", "new": "redis://***@other"},
            {"key": "python_path", "old": [], "new": ["/srv"]},
        ],
    }


def test_traces_are_told_without_their_keys():
    headers, url = Secret("api-key=s3cret"), Secret("http://me:s3cret@collector:4318")
    otel = Otel(exporter_otlp_headers=headers, exporter_otlp_endpoint=url)
    plan = diff(settings(), settings(otel=otel))
    (line,) = plan.lines()
    told = "sdk_disabled False, exporter_otlp_endpoint http://***@collector:4318"
    told = f"! otel: unset -> {told}, exporter_otlp_headers ***"
    assert line == f"{told} (needs a restart of the daemon)"
    assert "s3cret" not in f"{plan.to_dict()}"


def test_what_single_keys_may_is_told_in_words():
    def one(**options: object):
        return settings({"mail": QueueOptions(keys={"7": KeyOptions(**options)})})

    plan = diff(one(key_concurrency=2), one(key_concurrency=3, weight=2.0))
    told = "keys: 7 (key_concurrency 2, weight 1.0) -> 7 (key_concurrency 3, weight 2.0)"
    assert plan.lines() == [f"~ queue mail: {told}"]


def test_a_queue_alone_has_the_built_in_values():
    assert diff(settings({"mail": {}}), settings({"mail": QueueOptions()})).empty


NIGHTLY = {"task": "a.nightly", "cron": "0 3 * * *", "timezone": "Europe/Lisbon"}
PULSE = {"task": "a.pulse", "name": "pulse", "every": 0.25}
NOON = datetime.fromisoformat("2026-10-24T12:00:00+00:00").timestamp()  # before clocks change


def with_schedules(**queues):
    return settings({name: {"repeatables": tables} for name, tables in queues.items()})


def test_schedules_that_come_or_change_are_told_with_their_next_times():
    old = with_schedules(mail=[PULSE, NIGHTLY])
    new = with_schedules(mail=[PULSE | {"every": 7.5}, NIGHTLY], reports=[NIGHTLY])
    assert diff(old, new).lines(NOON) == [
        "+ queue reports: start",
        (
            "~ schedule mail/pulse: every: 0.25 -> 7.5; next 2026-10-24T12:00:07.500+00:00, "
            "2026-10-24T12:00:15+00:00, 2026-10-24T12:00:22.500+00:00"
        ),
        (
            "+ schedule reports/a.nightly: next 2026-10-25T03:00:00+00:00, "
            "2026-10-26T03:00:00+00:00, 2026-10-27T03:00:00+00:00"
        ),
    ]


def test_next_times_are_on_the_clock_of_the_schedules_zone():
    sydney = NIGHTLY | {"timezone": "Australia/Sydney"}
    (change,) = diff(with_schedules(mail=[NIGHTLY]), with_schedules(mail=[sydney])).schedules
    assert [key.key for key in change.keys] == ["timezone"]
    assert change.to_dict(NOON) == {
        "queue": "mail",
        "name": "a.nightly",
        "change": "changed",
        "next": [f"2026-10-{day}T03:00:00+11:00" for day in (25, 26, 27)],
    }


def test_a_schedule_that_goes_is_named_whether_its_queue_stays_or_not():
    old = with_schedules(mail=[NIGHTLY], old=[PULSE])
    plan = diff(old, with_schedules(mail=[]))
    assert plan.lines(NOON) == [
        "- queue old: drain and stop",
        "- schedule mail/a.nightly: this daemon no longer fires it",
        "- schedule old/pulse: this daemon no longer fires it",
    ]
    assert [each["next"] for each in plan.to_dict(NOON)["schedules"]] == [[], []]


def test_a_schedule_is_known_by_its_name_and_not_by_its_place():
    plan = diff(with_schedules(mail=[PULSE, NIGHTLY]), with_schedules(mail=[NIGHTLY, PULSE]))
    assert plan.schedules == ()
    assert plan.lines(NOON) == []
    renamed = diff(with_schedules(mail=[PULSE]), with_schedules(mail=[PULSE | {"name": "beat"}]))
    assert [(each.name, each.change) for each in renamed.schedules] == [
        ("beat", "added"),
        ("pulse", "removed"),
    ]


def test_the_data_of_a_job_is_not_in_the_lines():
    secret = PULSE | {"args": ["hunter2"], "kwargs": {"card": "4111"}}
    plan = diff(with_schedules(mail=[PULSE]), with_schedules(mail=[secret]))
    assert plan.lines() == ["~ schedule mail/pulse: args changed; kwargs changed"]
    told = json.dumps(plan.to_dict(0.0))
    assert "args" in told
    assert "hunter2" not in told
    assert "4111" not in told


def test_a_plan_can_be_told_without_the_names_of_keys():
    """They are what an application wrote, also where they look like our own words."""
    name = "sec-ret: x ~ queue mail: keys: y"
    old = settings({"mail": {"concurrency": 1}, "other": {}})
    keys = {name: {"key_concurrency": 1}}
    new = settings({"mail": {"concurrency": 2, "keys": keys}, "other": {}, "more": {"keys": keys}})
    plan = diff(old, new)
    assert "sec-ret" in plan.lines()[-1]
    assert plan.concealed.lines() == [
        "+ queue more: start",
        "~ queue mail: concurrency: 1 -> 2",
        "~ queue mail: keys: hidden",
    ]
    assert "sec-ret" not in json.dumps(plan.concealed.to_dict())
    assert diff(new, new).concealed == diff(new, new)
