"""Bugs in how connections to Redis are made, and in enqueues by the caller's own thread."""

from __future__ import annotations

from tests.mutations.mutation import mutations

_DIAL = "tests/unit/test_redis_dial.py"
_TLS = "tests/unit/test_redis_tls.py"
_THREAD = "tests/unit/test_redis_by_thread.py"
_LARGE = "tests/unit/test_redis_large.py"

CONNECTING = mutations(
    "redis/",
    "redis",
    (
        ("dial.py", "limit = STAGGER if left else None", "limit = None", _DIAL),
        ("dial.py", "except BlockingIOError:", "except ZeroDivisionError:", _DIAL),
        ("dial.py", "                attempt.result().close()", "                pass", _DIAL),
        ("dial.py", "socket.TCP_NODELAY: 1", "socket.TCP_NODELAY: 0", _DIAL),
        ("lookups.py", "    if not under_way.has_thread:\n", "    if True:\n", _DIAL),
        ("sentinel.py", "sentinel.connection_pool.connection_class = kind", "pass", _DIAL),
        ("cluster.py", "node.connection_class = kind", "pass", _DIAL),
        (
            "redis_py.py",
            "return _DialledUnix(path",
            "return UnixDomainSocketConnection(path",
            _DIAL,
        ),
        ("redis_py.py", "known is None or known[0] != marks", "known is None", _TLS),
        ("redis_py.py", "told.password = no_passphrase", "told.password = None", _TLS),
        ("connect.py", 'commands.append(("PING",))', "pass", _TLS),
        ("server.py", "await self._look_first()", "await self._look()", _DIAL),
        ("server.py", "sent=begun", "sent=False", _DIAL),
        ("server.py", "contextlib.suppress(ImportError)", "contextlib.nullcontext()", _THREAD),
        ("by_thread.py", "os.register_at_fork(after_in_child=_abandon_all)", "", _THREAD),
        ("by_thread.py", "return not poll.poll(0)", "return True", _THREAD),
        ("by_thread.py", "    __del__ = close\n", "", _THREAD),
        ("by_thread.py", "            self._link.distrust()", "            pass", _THREAD),
        ("by_thread.py", "if self._is_closing:", "if False:", _THREAD),
        ("by_thread.py", "factory=BlockingLoop", "factory=asyncio.SelectorEventLoop", _THREAD),
        (
            "by_thread.py",
            "contextlib.suppress(ConnectionError)",
            "contextlib.nullcontext()",
            _THREAD,
        ),
        ("large_payloads.py", "_AT_ONCE // most", "1_000", _LARGE),
    ),
)
