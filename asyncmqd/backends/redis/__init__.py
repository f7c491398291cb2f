"""Jobs in Redis or Valkey: one server, Sentinel or Cluster."""

from asyncmqd.backends.redis.store import RedisBackend

__all__ = ["RedisBackend"]
