"""Where values come from, who wins, and how each source names its errors."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from asyncmqd.config import control_socket_path
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.load import load
from asyncmqd.daemon.control_client import find_socket
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.shared_limits import KeyLimits

SAMPLE = Path(__file__).parents[2] / "etc/asyncmq/queues.toml"
SMALL = 'backend = "memory://"\n\n[queues.mail]\nconcurrency = 3\n'


class Folder:
    """A configuration directory to write files into and load from."""

    def __init__(self, path):
        self.path = path
        self.main = path / "queues.toml"
        self.environ = {"RUNTIME_DIRECTORY": "/run/asyncmqd"}
        self.write(SMALL)

    def write(self, text, name="queues.toml"):
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def credential(self, text):
        self.environ["CREDENTIALS_DIRECTORY"] = str(self.path / "credentials")
        return self.write(text, "credentials/backend_url")

    def load(self, **variables):
        return load(self.main, self.environ | variables)

    def errors(self, **variables):
        with pytest.raises(ConfigErrors) as caught:
            self.load(**variables)
        return str(caught.value).splitlines()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_the_sample_works_as_it_is():
    settings = load(SAMPLE, {})
    assert settings.backend_url == "sqlite:///var/lib/asyncmqd/jobs.db"
    assert list(settings.queues) == ["default"]
    assert settings.tasks == ()


def test_the_sample_works_with_its_examples_taken_in(folder):
    folder.write(
        "\n".join(
            line.removeprefix("# ") if line.startswith(("# [", "# r", "# c", "# t")) else line
            for line in SAMPLE.read_text().splitlines()
        )
    )
    [schedule] = folder.load().queues["mail"].repeatables
    assert schedule.cron == "0 3 * * *"
    assert folder.load().queues["mail"].timeout == 300


def test_built_in_values_are_the_documented_ones(folder):
    settings = folder.load()
    assert settings.shutdown_timeout == 30
    assert (settings.lease, settings.hang_limit) == (15, 60)
    assert settings.payload_limit == 262_144
    assert (settings.log_level, settings.log_format) == ("info", "auto")
    queue = settings.queues["mail"]
    assert queue.rate_limit is queue.burst is queue.timeout is queue.drain_timeout is None
    assert (queue.scan_interval, queue.rate_interval, queue.retries) == (1.0, 1.0, 0)
    assert queue.executor == "thread"
    assert queue.retention == Retention()


def test_a_queue_wins_over_defaults_and_these_over_built_in_values(folder):
    folder.write(
        'backend = "memory://"\n[defaults]\nconcurrency = 7\nretries = 4\n'
        "[queues.mail]\nconcurrency = 9\n[queues.reports]\n"
    )
    queues = folder.load().queues
    assert (queues["mail"].concurrency, queues["mail"].retries) == (9, 4)
    assert (queues["reports"].concurrency, queues["reports"].retries) == (7, 4)
    assert queues["reports"].scan_interval == 1.0


def test_a_burst_may_stand_beside_the_rate_limit_of_defaults(folder):
    folder.write(f"{SMALL}burst = 5\n[defaults]\nrate_limit = 1\n")
    assert folder.load().queues["mail"].burst == 5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.5", 0.5), ("0", 0), ('"5m"', 300), ('"1.5h"', 5_400), ('"0s"', 0)],
)
def test_every_period_takes_seconds_or_text(folder, text, seconds):
    folder.write(f"{SMALL}timeout = {text}\ndrain_timeout = {text}\nkeep_failed = {text}\n")
    queue = folder.load().queues["mail"]
    assert queue.timeout == queue.drain_timeout == queue.keep_failed == seconds


def test_repeatables_and_retention_come_as_the_domain_knows_them(folder):
    folder.write(
        SMALL + 'keep_completed = 5\n[[queues.mail.repeatables]]\ntask = "a.b"\nevery = "5m"\n'
        'args = [1, "x"]\nkwargs = { deep = { er = true } }\npriority = 0\nttl = 60\n'
    )
    queue = folder.load().queues["mail"]
    assert queue.retention == Retention(keep_completed=5)
    assert queue.repeatables == (
        Repeatable(
            task="a.b",
            every=300.0,
            args=[1, "x"],
            kwargs={"deep": {"er": True}},
            priority=0,
            ttl=60.0,
        ),
    )


def test_what_becomes_of_missed_instants_is_a_key(folder):
    schedule = f'{SMALL}[[queues.mail.repeatables]]\ntask = "a.b"\nevery = "5m"\n'
    folder.write(f'{schedule}missed = "all"\ncatch_up = "2d"\n')
    [kept] = folder.load().queues["mail"].repeatables
    assert (kept.missed, kept.catch_up) == ("all", 172_800.0)
    path = folder.write(f'{schedule}missed = "every"\ncatch_up = -1\n')
    at = f"{path}:{schedule.count(chr(10)) + 1}: queues.mail.repeatables[0]"
    missed, catch_up = folder.errors()
    assert missed == f"{at}.missed: expected 'skip', 'once' or 'all', got 'every'"
    assert ".catch_up: expected seconds" in catch_up


def test_wrong_values_of_otel_are_named_with_their_line_and_without_secrets(folder):
    path = folder.write(
        f'{SMALL}[otel]\nexporter_otlp_endpoint = "collector:4318"\n'
        'exporter_otlp_headers = "api-key=s3cret,oops"\ntraces_sampler = "some"\n'
        "traces_sampler_arg = 2\nbsp_max_queue_size = 100\nservice_nam = 'shop'\n"
    )
    line = SMALL.count("\n") + 2
    found = folder.errors()
    at = [each.partition(": expected")[0] for each in found]
    keys = "exporter_otlp_endpoint", "exporter_otlp_headers", "traces_sampler", "traces_sampler_arg"
    keys = (*keys, "bsp_max_queue_size", "service_nam")
    assert at == [f"{path}:{line + n}: otel.{key}" for n, key in enumerate(keys)]
    assert "(did you mean service_name?)" in found[-1]
    assert "s3cret" not in f"{found}"


def test_otel_is_off_unless_there_is_a_table_and_becomes_variables(folder):
    folder.write(SMALL)
    assert folder.load().otel is None
    folder.write(
        f'{SMALL}[otel]\nexporter_otlp_headers = "a=b"\ntraces_sampler_arg = 0\n'
        "exporter_otlp_timeout = 2.5\nexporter_otlp_certificate = '/ca.pem'\n"
    )
    otel = folder.load().otel
    assert "a=b" not in repr(otel)
    assert otel.environment() == {
        "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
        "OTEL_TRACES_SAMPLER_ARG": "0",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
    }


def test_limits_of_keys_that_cannot_be_are_named_with_their_line(folder):
    queue = f"{SMALL}global_concurrency = 3\nkey_concurrency = 5\nkey_burst = 2\n"
    keys = '[queues.mail.keys."t 7"]\nkey_concurency = 1\nweight = 0\nkey_rate_interval = "1m"\n'
    path = folder.write(f"{queue}{keys}key_rate_limit = -1\n[queues.mail.keys.{'k' * 129}]\n")
    line = queue.count("\n") + 1
    errors = [str(each) for each in folder.errors()]
    for expected in (
        f"{path}:{line - 2}: queues.mail.key_concurrency: expected no more than global_",
        f"{path}:{line - 1}: queues.mail.key_burst: expected a key_rate_limit beside it",
        f"{path}:{line + 1}: queues.mail.keys.t 7.key_concurency: expected a known key (did",
        f"{path}:{line + 2}: queues.mail.keys.t 7.weight: expected a number from 0.01 to 100",
        f"{path}:{line + 4}: queues.mail.keys.t 7.key_rate_limit: expected a number",
        f"{path}:{line + 5}: queues.mail.keys.{'k' * 20}",
    ):
        assert any(each.startswith(expected) for each in errors), (expected, errors)


SIXTY = "global_rate_limit = 60\nglobal_rate_interval = '1m'\n"  # so many may start at once
SINGLE = "[queues.mail.keys.t7]\n"


@pytest.mark.parametrize(
    ("before", "wrong", "problem"),
    [
        ("global_concurrency = 3\n", "key_concurrency = 5", "concurrency, which is 3, got 5"),
        (f"global_concurrency = 3\n{SINGLE}", "key_concurrency = 5", "concurrency, which is 3"),
        (SIXTY, "key_rate_limit = 99", "rate_limit, which is 60 in 60 s, got 99 in 1 s"),
        (f"{SIXTY}{SINGLE}", "key_rate_limit = 60", "rate_limit, which is 60 in 60 s, got 60 in 1"),
        (
            f"global_rate_limit = 2\nkey_rate_limit = 2\n{SINGLE}",
            "key_rate_interval = 0.5",
            "rate_limit, which is 2 in 1 s, got 2 in 0.5 s",
        ),
        (
            f"{SIXTY}key_rate_limit = 5\n{SINGLE}",
            "key_burst = 60",
            "rate_limit, which is 60 in 60 s, got 5 in 1 s",
        ),
    ],
)
def test_a_limit_of_keys_that_holds_nothing_back_is_named_with_its_line(
    folder, before, wrong, problem
):
    path = folder.write(f"{SMALL}{before}{wrong}\n")
    at = f"{path}:{f'{SMALL}{before}'.count(chr(10)) + 1}: queues.mail."
    place = f"{at}{'keys.t7.' if SINGLE in before else ''}{wrong.partition(' ')[0]}"
    [error] = folder.errors()
    assert error.startswith(f"{place}: expected no more than global_{problem}")


@pytest.mark.parametrize(
    "limits",
    [
        "global_concurrency = 0\nkey_concurrency = 5",  # the queue is paused
        "global_rate_limit = 0\nkey_rate_limit = 5",
        "global_concurrency = 5\nkey_concurrency = 5",
        f"{SIXTY}key_rate_limit = 5",  # sixty at once, and five of a key
    ],
)
def test_limits_of_keys_that_hold_something_back_are_no_contradiction(folder, limits):
    folder.write(f"{SMALL}{limits}\n")
    assert folder.load()


def test_a_wrong_limit_is_compared_with_none(folder):
    folder.write(f"{SMALL}global_rate_limit = 'x'\nkey_rate_limit = 5\n")
    [error] = folder.errors()
    assert "global_rate_limit: expected a number" in error


def test_what_a_single_key_does_not_set_is_as_for_each_key(folder):
    limits = "key_concurrency = 5\nkey_rate_limit = 600\nkey_rate_interval = '1m'\nkey_burst = 10\n"
    folder.write(f"{SMALL}{limits}[queues.mail.keys.big]\nkey_rate_limit = 6000\n")
    assert folder.load().queues["mail"].shared_limits.of_key("big") == KeyLimits(
        concurrency=5, rate_limit=6000, rate_interval=60.0, burst=10
    )


def test_keys_of_a_schedule_that_do_not_go_together_are_named_with_their_line(folder):
    schedule = f'{SMALL}[[queues.mail.repeatables]]\ntask = "a.b"\nevery = "5m"\n'
    folder.write(
        f"{schedule}start = 2026-12-01T00:00:00Z\nend = '2026-12-02T00:00:00+01:00'\n"
        "jitter = '1m'\nenabled = false\n"
    )
    [kept] = folder.load().queues["mail"].repeatables
    assert (kept.start, kept.end) == ("2026-12-01T00:00:00+00:00", "2026-12-02T00:00:00+01:00")
    assert (kept.jitter, kept.enabled) == (60.0, False)
    path = folder.write(
        f"{schedule}start = 2026-12-02T00:00:00Z\nend = 2026-12-01T00:00:00Z\njitter = '5m'\n"
    )
    line = schedule.count("\n") + 1
    at = "queues.mail.repeatables[0]"
    moments = "2026-12-02T00:00:00+00:00, got 2026-12-01T00:00:00+00:00"
    later = f"expected a moment after start, {moments}"
    less = "expected less than the 300 s from one instant to the next"
    assert folder.errors() == [
        f"{path}:{line + 1}: {at}.end: {later}",
        f"{path}:{line + 2}: {at}.jitter: {less}, got 300",
    ]
    path = folder.write(f"{schedule}start = 2026-12-02T00:00:00\njitter = 'x'\nenabled = 'no'\n")
    assert [each.partition(": expected ")[0] for each in folder.errors()] == [
        f"{path}:{line + n}: {at}.{key}" for n, key in enumerate(("start", "jitter", "enabled"))
    ]


def test_settings_are_frozen(folder):
    with pytest.raises(AttributeError):
        folder.load().queues["mail"].concurrency = 5


# Drop-ins


def test_drop_ins_merge_tables_deeply_replace_arrays_and_go_by_name(folder):
    folder.write(
        'backend = "memory://"\ntasks = ["a", "b"]\n[queues.mail]\nconcurrency = 3\nretries = 2\n'
    )
    folder.write('tasks = ["c"]\n[queues.mail]\nconcurrency = 4\n', "queues.d/20.toml")
    folder.write("[queues.mail]\nconcurrency = 9\n[queues.extra]\n", "queues.d/10.toml")
    settings = folder.load()
    assert settings.tasks == ("c",)
    assert (settings.queues["mail"].concurrency, settings.queues["mail"].retries) == (4, 2)
    assert "extra" in settings.queues


def test_the_last_of_many_drop_ins_by_name_wins(folder):
    for number in (31, 12, 95, 40, 77, 23, 58, 66, 84):
        folder.write(f"[queues.mail]\nconcurrency = {number}\n", f"queues.d/{number}.toml")
    assert folder.load().queues["mail"].concurrency == 95


def test_only_visible_toml_files_are_drop_ins(folder):
    folder.write("not toml", "queues.d/notes.txt")
    folder.write("not toml", "queues.d/.#10.toml")
    assert folder.load().queues["mail"].concurrency == 3


def test_an_error_names_the_file_that_wrote_the_value(folder):
    drop_in = folder.write("# a comment\n[queues.mail]\nconcurrency = 0\n", "queues.d/10.toml")
    assert folder.errors() == [
        f"{drop_in}:3: queues.mail.concurrency: expected a whole number from 1 to 10000, got 0"
    ]


def test_what_a_drop_in_repairs_is_no_error(folder):
    folder.write('backend = "memory://"\n[queues.mail]\nconcurrency = 0\n')
    folder.write("[queues.mail]\nconcurrency = 1\n", "queues.d/10.toml")
    assert folder.load().queues["mail"].concurrency == 1


def test_a_missing_key_is_the_fault_of_the_array_that_replaced_the_one_that_had_it(folder):
    folder.write(f'{SMALL}[[queues.mail.repeatables]]\ntask = "a.b"\nevery = 5\n')
    drop_in = folder.write("[[queues.mail.repeatables]]\nevery = 5\n", "queues.d/10.toml")
    assert folder.errors() == [
        f"{drop_in}:1: queues.mail.repeatables[0].task: expected it to be set, got nothing"
    ]


def test_errors_of_all_files_come_together_in_the_order_of_precedence(folder):
    folder.write('backend = "memory://"\nlease = 0\n[queues.mail]\n')
    first = folder.write("log_level = 1\n", "queues.d/10.toml")
    second = folder.write("log_format = 1\nx y\n", "queues.d/20.toml")
    places = [line.partition(": ")[0] for line in folder.errors(ASYNCMQD_TASKS="[5]")]
    assert places == [
        f"{folder.main}:2",
        f"{first}:1",
        f"{second}:1",
        f"{second}:2",
        "ENV:ASYNCMQD_TASKS",
    ]


def test_a_broken_file_does_not_make_others_seem_incomplete(folder):
    folder.write("backend memory\n")
    assert folder.errors() == [
        (
            f"{folder.main}:1: toml: expected '=' after the key,"
            " got text that is not shown, because it may hold a password"
        )
    ]


# The environment


def test_the_environment_wins_over_credentials_these_over_drop_ins_these_over_the_file(folder):
    assert folder.load().backend_url == "memory://"
    folder.write('backend = "redis://drop-in"\n', "queues.d/10.toml")
    assert folder.load().backend_url == "redis://drop-in"
    folder.credential("redis://credential\n")
    assert folder.load().backend_url == "redis://credential"
    assert folder.load(ASYNCMQD_BACKEND="redis://env").backend_url == "redis://env"


def test_variables_reach_every_kind_of_key(folder):
    settings = folder.load(
        ASYNCMQD_CONFIG="/some/file",
        ASYNCMQD_LOG_LEVEL="debug",
        ASYNCMQD_SHUTDOWN_TIMEOUT="5m",
        ASYNCMQD_TASKS='["a.b"]',
        ASYNCMQD_DEFAULTS__RETRIES="2",
        ASYNCMQD_QUEUES__MAIL__CONCURRENCY="5",
        ASYNCMQD_QUEUES__MAIL__RATE_LIMIT="0.5",
        ASYNCMQD_QUEUES__MAIL__REPEATABLES='[{"task": "a.b", "every": 5}]',
        UNRELATED="x",
    )
    assert settings.log_level == "debug"
    assert settings.shutdown_timeout == 300
    assert settings.tasks == ("a.b",)
    queue = settings.queues["mail"]
    assert (queue.retries, queue.concurrency, queue.rate_limit) == (2, 5, 0.5)
    assert queue.repeatables == (Repeatable(task="a.b", every=5.0),)


def test_null_unsets_and_an_empty_variable_is_not_set(folder):
    folder.write(f"{SMALL}rate_limit = 5\n")
    assert folder.load(ASYNCMQD_QUEUES__MAIL__RATE_LIMIT="null").queues["mail"].rate_limit is None
    assert folder.load(ASYNCMQD_LOG_LEVEL="").log_level == "info"


def test_a_variable_for_one_key_wins_over_the_one_for_its_table(folder):
    settings = folder.load(
        ASYNCMQD_QUEUES__MAIL__RETRIES="9",
        ASYNCMQD_QUEUES='{"mail": {"retries": 1}, "new": {}}',
        ASYNCMQD_QUEUES__NEW__RETRIES="2",
    )
    assert settings.queues["mail"].retries == 9
    assert settings.queues["new"].retries == 2


def test_a_dash_in_a_queue_name_is_an_underscore_in_a_variable(folder):
    folder.write('backend = "memory://"\n[queues.night-jobs]\n')
    settings = folder.load(ASYNCMQD_QUEUES__NIGHT_JOBS__CONCURRENCY="5")
    assert settings.queues["night-jobs"].concurrency == 5


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "ASYNCMQD_LOG_LEVEL",
            "loud",
            "log_level: expected 'debug', 'info', 'warning' or 'error', got 'loud'",
        ),
        (
            "ASYNCMQD_LOG_LEVLE",
            "debug",
            (
                "log_levle: expected a known variable (did you mean ASYNCMQD_LOG_LEVEL?),"
                " got ASYNCMQD_LOG_LEVLE"
            ),
        ),
        (
            "ASYNCMQD_QUEUE__MAIL__RETRIES",
            "5",
            (
                "queue.mail.retries: expected a known variable"
                " (did you mean ASYNCMQD_QUEUES__MAIL__RETRIES?), got ASYNCMQD_QUEUE__MAIL__RETRIES"
            ),
        ),
        (
            "ASYNCMQD_QUEUES__MAIL__CONCURENCY",
            "5",
            (
                "queues.mail.concurency: expected a known key (did you mean concurrency?),"
                " got 'concurency'"
            ),
        ),
        (
            "ASYNCMQD_QUEUES__MALI__CONCURRENCY",
            "5",
            (
                "queues.mali.concurrency: expected a queue that a file or ASYNCMQD_QUEUES defines"
                " (did you mean MAIL?), got 'mali'"
            ),
        ),
        (
            "ASYNCMQD_QUEUES__MAIL__CONCURRENCY",
            "many",
            "queues.mail.concurrency: expected a whole number from 1 to 10000, got 'many'",
        ),
        (
            "ASYNCMQD_QUEUES__MAIL__CONCURRENCY",
            "true",
            "queues.mail.concurrency: expected a whole number from 1 to 10000, got true",
        ),
        (
            "ASYNCMQD_TASKS",
            "a.b",
            """tasks: expected JSON like ["a"] or {"a": 1}, got 'a.b'""",
        ),
        (
            "ASYNCMQD_LEASE__SECONDS",
            "5",
            (
                "lease.seconds: expected ASYNCMQD_LEASE, which has no keys,"
                " got 'ASYNCMQD_LEASE__SECONDS'"
            ),
        ),
        (
            "ASYNCMQD_HANG_LIMIT",
            "NaN",
            (
                "hang_limit: expected seconds of at least 1 (a number or text like '5m',"
                " at most ten years), got nan"
            ),
        ),
        (
            "ASYNCMQD_LEASE",
            "90",
            "lease: expected hang_limit above lease, got hang_limit 60 and lease 90",
        ),
        ("ASYNCMQD_", "5", ": expected a known variable, got ASYNCMQD_"),
    ],
)
def test_a_wrong_variable_is_named(folder, name, value, said):
    assert folder.errors(**{name: value}) == [f"ENV:{name}: {said}"]


def test_a_credential_that_may_not_be_read_is_named(folder):
    folder.write(SMALL)
    folder.environ["CREDENTIALS_DIRECTORY"] = "/dev/null"
    assert folder.errors() == [
        "/dev/null/backend_url:1: backend: expected a readable file, got not a directory"
    ]


def test_a_wrong_credential_is_named(folder):
    path = folder.credential("redis:hunter2")
    assert folder.errors() == [
        (
            f"{path}:1: backend: expected memory://, sqlite:///path, redis://, rediss://, unix://,"
            " redis+sentinel:// or redis+cluster://, got text without ://"
        )
    ]


# Files that cannot be read


def test_a_missing_file(folder):
    folder.main.unlink()
    assert folder.errors() == [
        f"{folder.main}:1: toml: expected a readable file, got no such file or directory"
    ]


def test_a_directory(folder):
    folder.main.unlink()
    folder.main.mkdir()
    assert folder.errors() == [f"{folder.main}:1: toml: expected a regular file, got a directory"]


def test_a_pipe_is_refused_and_not_waited_for(folder):
    folder.main.unlink()
    os.mkfifo(folder.main)
    assert folder.errors() == [
        f"{folder.main}:1: toml: expected a regular file, got another kind of file"
    ]


def test_a_loop_of_links(folder):
    folder.main.unlink()
    folder.main.symlink_to(folder.main)
    [error] = folder.errors()
    assert error.startswith(f"{folder.main}:1: toml: expected a readable file, got too many levels")


def test_an_empty_file(folder):
    folder.write("")
    assert folder.errors() == [
        f"{folder.main}:1: toml: expected a configuration, got an empty file"
    ]


def test_an_empty_drop_in_says_nothing(folder):
    folder.write("", "queues.d/10.toml")
    assert folder.load().queues["mail"].concurrency == 3


def test_a_file_that_is_not_utf_8(folder):
    folder.write(SMALL.encode() + b"# caf\xe9\n")
    assert folder.errors() == [f"{folder.main}:5: toml: expected UTF-8, got byte 0xe9"]


def test_a_byte_order_mark(folder):
    folder.write("\ufeff" + SMALL)
    assert folder.errors() == [
        f"{folder.main}:1: toml: expected UTF-8 without a byte-order mark, got one"
    ]


def test_a_file_over_one_mebibyte(folder):
    folder.write(SMALL + "#" * 1024 * 1024)
    assert folder.errors() == [f"{folder.main}:1: toml: expected at most 1048576 bytes, got more"]


def test_drop_ins_that_are_a_file(folder):
    path = folder.write("", "queues.d")
    assert folder.errors() == [
        f"{path}:1: toml: expected a directory of drop-ins, got not a directory"
    ]


def test_a_drop_in_that_cannot_be_read(folder):
    path = folder.path / "queues.d/10.toml"
    path.mkdir(parents=True)
    assert folder.errors() == [f"{path}:1: toml: expected a regular file, got a directory"]


def test_windows_line_ends_keep_their_lines(folder):
    folder.write(SMALL.replace("\n", "\r\n") + "x = 1\r\n")
    assert folder.errors() == [f"{folder.main}:5: queues.mail.x: expected a known key, got 'x'"]


def test_an_error_is_one_printable_line_whatever_the_key_is(folder):
    folder.write(SMALL + '"a\\n\\u001b[31m" = 1\n')
    assert folder.errors() == [
        rf"{folder.main}:5: queues.mail.a \x1b[31m: expected a known key, got 'a\n\x1b[31m'"
    ]


# Secrets

SECRETS = [
    "redis://user:hunter2@localhost/0",
    "redis://:a@%2Fhunter2@localhost",
    "redis+sentinel://u:hunter2@one:26379,two:26379/master",
    "redis://localhost/0?password=hunter2&db=1",
    "unix://:hunter2@/run/redis.sock",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_is_only_in_backend_url(folder, url):
    folder.write(f'backend = "{url}"\n[queues.mail]\n')
    settings = folder.load()
    assert settings.backend_url == url
    assert "***" in settings.backend_shown
    for text in (
        settings.backend_shown,
        repr(settings),
        str(settings),
        str(msgspec.to_builtins(settings, enc_hook=str)),
    ):
        assert "hunter2" not in text


@pytest.mark.parametrize(
    "url", ["redis://:hunter2@h:x", "redis://:a/hunter2@h", "postgres://u:hunter2@h/0", "hunter2"]
)
@pytest.mark.parametrize(
    "text", ['backend = "{}"', 'backend = "{}', "backend = {}", 'backend = ["{}"]', 'backnd = "{}"']
)
def test_a_password_is_in_no_error(folder, text, url):
    folder.write(text.format(url) + "\n[queues.mail]\n")
    assert folder.errors()
    assert "hunter2" not in "\n".join(folder.errors())
    folder.write(SMALL)
    assert "hunter2" not in "\n".join(folder.errors(ASYNCMQD_BACKEND=url))
    assert "hunter2" not in "\n".join(folder.errors(ASYNCMQD_LOG_LEVEL="redis://:a/hunter2@h"))


def test_a_password_in_the_wrong_key_is_in_no_error(folder):
    folder.write(f'{SMALL}[[queues.mail.repeatables]]\ntask = "a"\ncron = "redis://:hunter2@h"\n')
    [error] = folder.errors()
    assert "queues.mail.repeatables[0].cron: expected 5 fields" in error
    assert "***" in error
    assert "hunter2" not in error


# The control socket


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"RUNTIME_DIRECTORY": "/run/a"}, "/run/a/control.sock"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, "/run/a/control.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/asyncmqd/control.sock"),
        (
            {"RUNTIME_DIRECTORY": "/run/a", "XDG_RUNTIME_DIR": "/run/user/7"},
            "/run/a/control.sock",
        ),
    ],
)
def test_the_control_socket_is_where_the_environment_puts_it(folder, environ, path):
    assert load(folder.main, environ).control_socket == Path(path)


def test_root_finds_the_units_socket_and_others_one_of_their_own(folder, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert load(folder.main, {}).control_socket == Path("/run/asyncmqd/control.sock")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert load(folder.main, {}).control_socket == Path("/tmp/asyncmqd-4000000000/control.sock")


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"RUNTIME_DIRECTORY": "/run/asyncmqd-a"}, "/run/asyncmqd-a/control.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/asyncmqd-a/control.sock"),
    ],
)
def test_daemons_with_files_of_other_names_have_sockets_of_their_own(folder, environ, path):
    main = folder.write(SMALL, "a.toml")
    assert load(main, environ).control_socket == Path(path)


def test_a_client_without_a_daemon_of_its_own_asks_the_unit_s(tmp_path, monkeypatch):
    unit = tmp_path / "run" / "control.sock"
    monkeypatch.setattr(control_socket_path, "_of_unit", lambda stem: unit)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    own = tmp_path / "asyncmqd/control.sock"
    assert control_socket_path.usual_control_socket(environ, "queues") == own
    for path in (unit, own):
        path.parent.mkdir()
        path.touch()
        assert control_socket_path.usual_control_socket(environ, "queues") == path


def test_a_client_reads_no_more_than_where_to_ask(folder):
    folder.write(f'control_socket = "/srv/a.sock"\nwrong = 1\n{SMALL}')
    environ = {"CREDENTIALS_DIRECTORY": "/dev/null"}  # systemd's reload may not see them
    assert find_socket(folder.main, environ) == Path("/srv/a.sock")
    folder.write('control_socket = "/srv/b.sock"\n', "queues.d/b.toml")
    assert find_socket(folder.main, {}) == Path("/srv/b.sock")
    assert find_socket(folder.main, {"ASYNCMQD_CONTROL_SOCKET": "/c.sock"}) == Path("/c.sock")


def test_a_configured_control_socket_wins(folder):
    folder.write('control_socket = "/srv/a.sock"\n' + SMALL)
    assert folder.load().control_socket == Path("/srv/a.sock")


# What a start pays for


def test_a_sound_file_needs_neither_tree_sitter_nor_pydantic_settings():
    code = (
        "import sys; from pathlib import Path; from asyncmqd.config.load import load;"
        f"load(Path({str(SAMPLE)!r}), {{}});"
        "print([m for m in ('tree_sitter', 'pydantic_settings') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_who_looks_for_the_store_or_the_queues_needs_no_models():
    """Applications and `asyncmq`: pydantic is a tenth of a second."""
    code = (
        "import sys; from pathlib import Path; from asyncmqd.config import backend;"
        f"sample = Path({str(SAMPLE)!r}); assert backend.store_in(sample).url;"
        "assert backend.queues_in(sample); backend.scan_interval_in(sample, 'mail');"
        "print([m for m in sys.modules if m.startswith(('pydantic', 'tree_sitter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_that_have_not_changed_are_not_checked_again(tmp_path):
    """Ten thousand schedules take a second. A true that was a 1 is a change all the same."""
    path = tmp_path / "queues.toml"
    text = 'backend = "memory://x"\n[queues.mail]\nconcurrency = 1\n'
    path.write_text(text)
    first = load(path, {})
    assert load(path, {}) is first
    assert load(path, {"ASYNCMQD_LOG_LEVEL": "debug"}).log_level == "debug"
    path.write_text(text.replace("= 1", "= true"))
    with pytest.raises(ConfigErrors):
        load(path, {})
    path.write_text(text)
    path.chmod(0o666)
    with pytest.raises(ConfigErrors):
        load(path, {})
