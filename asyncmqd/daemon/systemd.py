"""What systemd is told, and when. Without NOTIFY_SOCKET all of it is a silent no-op."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, MutableMapping

import sdnotify

from asyncmqd.domain import clock
from asyncmqd.domain.safe_text import clean
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.forks import keep

EXTENSION = 15.0  # seconds that each request for more time asks for at least; sent every second
_RESEND = 0.2  # seconds before what must arrive is sent again
_STATUS_LIMIT = 400  # characters
_SHARE = 3  # the watchdog is fed so many times in its period


class Systemd:
    """The notification socket of `environ`, whose variables are removed: they are not for jobs.

    What systemd acts upon (READY, RELOADING, STOPPING) is sent again until it arrives; status
    lines and watchdog signs that do not fit into its queue are dropped, for newer ones follow.
    """

    def __init__(self, environ: MutableMapping[str, str], observer: Observer) -> None:
        self._observer = observer
        self._owed: deque[str] = deque()
        self._failing = False
        self._notifier: sdnotify.SystemdNotifier | None = None
        self.watchdog_limit = _watchdog_limit(environ)  # seconds without a sign of life; or None
        self.watchdog = self.watchdog_limit and self.watchdog_limit / _SHARE  # seconds between two
        # A loop that is blocked for as long as the watchdog allows cannot ask again meanwhile.
        self._extension = max(EXTENSION, 1.5 * _SHARE * (self.watchdog or 0.0))
        self._told = ""  # the last status line
        self.problem = ""  # why the socket cannot be used; there is no log yet to tell it
        if environ.get("NOTIFY_SOCKET"):
            self._connect()
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            environ.pop(name, None)

    # ------------------------------------------------------------------ messages

    @property
    def listens(self) -> bool:
        """Whether there is anybody to tell."""
        return self._notifier is not None

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows, if it is another than the last one."""
        if _status(text) != self._told:
            self._send(_status(text))

    def extend(self, text: str) -> None:
        """A status line, and a request for more time to start or to stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(self._extension * 1e6)}\n{_status(text)}")

    def ready(self, text: str) -> None:
        """Started or reloaded, successfully or not: a reload that is refused ends as well."""
        self._must_send(f"READY=1\n{_status(text)}")

    def reloading(self) -> None:
        """A reload begins."""
        now = int(clock.monotonic() * 1e6)
        self._must_send(f"RELOADING=1\nMONOTONIC_USEC={now}\n{_status('reloading')}")

    def stopping(self, text: str) -> None:
        """The daemon is on its way out."""
        self._must_send(f"STOPPING=1\n{_status(text)}")

    async def feed(self, is_well: Callable[[], bool]) -> None:
        """Feed the watchdog from the event loop for as long as `is_well`, until cancelled."""
        while self.watchdog is not None:
            if is_well():
                self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog)

    def close(self) -> None:
        """Say no more."""
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.socket.close()

    # ------------------------------------------------------------------ sending

    def _connect(self) -> None:
        try:
            self._notifier = sdnotify.SystemdNotifier(debug=True)  # else it hides its errors
        except OSError as error:
            self.problem = f"NOTIFY_SOCKET cannot be used: {error}"
            return
        # A blocking socket stops the whole daemon after about ten messages that nobody reads.
        self._notifier.socket.setblocking(False)
        keep(self._notifier.socket.fileno())

    def _must_send(self, message: str) -> None:
        self._owed.append(message)
        self._send_owed()

    def _send_owed(self) -> None:
        while self._owed and self._send(self._owed[0]):
            self._owed.popleft()
        if self._owed:
            asyncio.get_running_loop().call_later(_RESEND, self._send_owed)

    def _send(self, message: str) -> bool:
        """Whether it left, or there is nobody to send it to."""
        if self._notifier is None:
            return True
        try:
            self._notifier.notify(message)
        except OSError as error:
            self._note_failure(error)
            return False
        self._failing = False
        self._told = message[message.find("STATUS=") :] if "STATUS=" in message else self._told
        return True

    def _note_failure(self, error: OSError) -> None:
        if not self._failing:  # one line, however long systemd does not listen
            self._failing = True
            self._observer.event("daemon.warning", warning=f"systemd was not told: {error}")


def _watchdog_limit(environ: MutableMapping[str, str]) -> float | None:
    """What systemd allows, if it expects signs of life, and from this very process."""
    meant = environ.get("WATCHDOG_PID")
    period = environ.get("WATCHDOG_USEC", "")
    if (meant and meant != str(os.getpid())) or not period.isdecimal() or int(period) == 0:
        return None
    return int(period) / 1e6


def _status(text: str) -> str:
    # sdnotify encodes as Latin-1 and a newline would begin another assignment.
    line = clean(" ".join(text.split())).encode("ascii", "backslashreplace").decode()
    return f"STATUS={line[:_STATUS_LIMIT]}"
