"""What a Redis URL may say, and that its secrets go nowhere."""

from __future__ import annotations

import re

import pytest

from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.redis.address import parse

SECRET = "hunter2"


def test_a_plain_url_has_defaults():
    address = parse("redis://localhost")
    assert address.hosts == (("localhost", 6379),)
    assert (address.db, address.prefix, address.max_connections) == (0, "asyncmq", 10)
    assert address.login == {}
    assert address.tls is None


def test_user_password_port_and_database():
    address = parse("redis://worker:p%40ss%2Fword@db.example.org:7000/3")
    assert address.hosts == (("db.example.org", 7000),)
    assert address.login == {"username": "worker", "password": "p@ss/word"}
    assert address.db == 3


def test_a_password_without_a_user():
    assert parse(f"redis://:{SECRET}@localhost").login == {"password": SECRET}


def test_an_ipv6_host():
    assert parse("redis://[::1]:7000").hosts == (("::1", 7000),)


def test_tls_is_verified_unless_told_otherwise():
    assert parse("rediss://host").tls == {"ssl_check_hostname": True, "ssl_cert_reqs": "required"}
    lax = parse("rediss://host?ssl_cert_reqs=none").tls
    assert lax == {"ssl_check_hostname": False, "ssl_cert_reqs": "none"}
    own = parse("rediss://host?ssl_ca_certs=/etc/ca.pem").tls
    assert own is not None
    assert own["ssl_ca_certs"] == "/etc/ca.pem"


def test_a_unix_socket():
    address = parse(f"unix://:{SECRET}@/run/redis%20one/s?db=2")
    assert (address.path, address.db, address.login) == (
        "/run/redis one/s",
        2,
        {"password": SECRET},
    )


def test_sentinel():
    address = parse(
        f"redis+sentinel://me:{SECRET}@a:1,b,c:3/jobs/4?sentinel_password=other&ssl=true"
    )
    assert address.hosts == (("a", 1), ("b", 26379), ("c", 3))
    assert (address.service, address.db) == ("jobs", 4)
    assert address.login == {"username": "me", "password": SECRET}
    assert address.sentinel_login == {"password": "other"}
    assert address.tls is not None


def test_cluster():
    address = parse("redis+cluster://a:1,b?prefix=app&max_connections=4")
    assert address.hosts == (("a", 1), ("b", 6379))
    assert (address.prefix, address.max_connections) == ("app", 4)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://h?prefixx=a", "got 'prefixx'"),
        ("redis://a..b", "expected host:port"),
        (f"redis://{'a' * 64}", "expected host:port"),
        ("rediss://h?ssl_keyfile=/k", "expected ssl_certfile with ssl_keyfile"),
        ("unix:///", "expected the path of a unix socket"),
        ("unix:///a%00b", "expected the path of a unix socket"),
        (f"unix:///{'a' * 107}", "at most 107 bytes, got 108"),
        ("redis://h?db=1", "got 'db'"),
        ("redis://h?ssl_cert_reqs=none", "got 'ssl_cert_reqs'"),
        ("redis://h?prefix=a{b}", "prefix: expected letters"),
        ("redis://h?prefix=", "prefix: expected letters"),
        ("redis://h?min_replicas=-1", "min_replicas: expected a number of 0 or more, got '-1'"),
        ("redis+cluster://h?min_replicas=1", "max_connections, timeout, allow_eviction, ssl"),
        ("redis://h?max_connections=0", "max_connections: expected a number of 1 or more"),
        ("redis://h?max_connections=many", "got 'many'"),
        ("redis://h/jobs", "db: expected a number"),
        ("redis://h:port", "expected host:port"),
        ("redis://a,b", "expected one host, got 2"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs: expected required"),
        ("rediss://h?ssl_min_version=1.1", "ssl_min_version: expected 1.2 or 1.3, got '1.1'"),
        ("rediss://h?ssl_check_hostname=1", "expected true or false, got '1'"),
        ("redis+sentinel://a", "expected /service"),
        ("redis+sentinel://a/jobs?ssl_ca_certs=x", "expected ssl=true"),
        ("redis+cluster://a/1", "expected no database"),
        ("memory://", "got 'memory'"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url: str, complaint: str):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://me:{SECRET}@host",
        f"unix://me:{SECRET}@/run/s",
        f"redis+sentinel://me:{SECRET}@host/jobs?sentinel_password={SECRET}",
        f"redis+cluster://:{SECRET}@host",
    ],
)
def test_secrets_are_not_shown(url: str):
    backend = RedisBackend(url)
    shown = f"{backend!r} {backend} {backend.url} {parse(url)!r} {parse(url)}"
    assert SECRET not in shown
    assert "***" in shown
    with pytest.raises(ValueError, match="got 'oops'") as caught:
        RedisBackend(url + ("&" if "?" in url else "?") + "oops=1")
    assert SECRET not in str(caught.value)
