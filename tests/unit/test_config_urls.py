"""The configuration and the stores agree on which URLs can be meant."""

import pytest

from asyncmqd.backends.factory import open_backend
from asyncmqd.backends.redis.address import parse
from asyncmqd.config.urls import SCHEMES, check_backend


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://",
        "redis:///0",
        "redis://user:p%2Fw@[::1]:6380/3?prefix=jobs",
        "rediss://host?ssl_ca_certs=/etc/ca.pem",
        "unix:///run/redis/redis.sock?db=1",
        "unix://user:word@/run/redis.sock",
        "redis+sentinel://one:26379,two:26379/master/1",
        "redis+cluster://one,two:7000?ssl=true",
    ],
)
def test_what_redis_takes_is_taken(url):
    assert parse(url)
    assert check_backend(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://one,two",
        "redis://localhost:port",
        "redis://localhost/jobs",
        "redis+sentinel://one:26379",
        "redis+sentinel://one:26379/master/x",
        "redis+cluster://one/1",
        "redis://[::1",
    ],
)
def test_what_redis_refuses_is_refused_before(url):
    with pytest.raises(ValueError, match=r"expected|Invalid IPv6"):
        parse(url)
    with pytest.raises(ValueError, match=r"^expected .*, got "):
        check_backend(url)


def test_the_stores_name_the_same_schemes():
    with pytest.raises(ValueError, match="expected") as refused:
        open_backend("mysql://host")
    for scheme in SCHEMES:
        assert f"{scheme}://" in str(refused.value)


@pytest.mark.parametrize("url", ["memory://", "memory://name", "sqlite:///a.db?synchronous=NORMAL"])
def test_other_stores(url):
    assert check_backend(url) == url
