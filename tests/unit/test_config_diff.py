"""What a reload would do, from two configurations."""

import json

from asyncmqd.config import QueueSettings, Settings, diff
from asyncmqd.config.diff import LIVE_KEYS


def settings(queues=None, **keys):
    tables = {"mail": {}} if queues is None else queues
    data = {"backend": "memory://", "control_socket": "/run/a.sock", **keys}
    return Settings.model_validate(data | {"queues": tables})


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
        "shutdown_timeout": 1,
        "control_socket": "/run/b.sock",
        "log_level": "debug",
        "log_format": "json",
        "lease": 10,
        "hang_limit": 70,
        "payload_limit": 2_048,
        "stuck_limit": 5,
    }
    assert other.keys() == Settings.model_fields.keys() - {"queues", "defaults"}
    plan = diff(settings(), settings(**other))
    assert {change.key for change in plan.live} == {
        "shutdown_timeout",
        "log_level",
        "payload_limit",
        "stuck_limit",
    }
    assert {change.key for change in plan.restart} == other.keys() - LIVE_KEYS


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
        "changed": {"mail": [{"key": "repeatables", "old": [], "new": [repeatable]}]},
        "restarts_worker": [],
        "live": [],
        "restart": [
            {"key": "backend", "old": "redis://***@localhost", "new": "redis://***@other"},
            {"key": "python_path", "old": [], "new": ["/srv"]},
        ],
    }


def test_a_queue_alone_has_the_built_in_values():
    assert diff(settings({"mail": {}}), settings({"mail": QueueSettings()})).empty
