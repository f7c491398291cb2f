"""The store's clock: the host's wall clock, guarded against jumps.

Between jumps the wall clock and the clock since boot run at the same speed, so the store's time is
the clock since boot plus a distance that is kept in the file: every process of the host computes
the same time from it. Only who writes moves the distance:

- The wall clock is ahead: the store's time jumps to it.
- It is behind (somebody set it back): the store's time goes on at half speed until the wall clock
  has caught up. If it stood still, every delay would be late; at full speed the difference would
  stay.
- It is behind still after ten minutes: it had been ahead by more than such a pause corrects, and
  the store's time goes back to it, with all dates that came from the time ahead
  (clock_correction.py). Not at once: the wall clock may be wrong for a moment, or until a host
  without a battery has asked the network.
- The host has booted: the time begins at the later of the wall clock and the last time kept.

All numbers are whole microseconds, so that computing a date twice gives the same date.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from asyncmqd.domain import clock

SECOND = 1_000_000
TOLERANCE = 50_000  # a smaller distance may be the pause between reading the two clocks
SLOW = (
    "the host's clock was set back: the store's time, with all delays and schedules, runs at"
    " half speed until the host's clock has caught up; after ten minutes it is set back as well"
)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PATIENCE = 600 * SECOND  # for which the store's time waits for a wall clock that is behind
KEPT_EVERY = SECOND  # so far may the store's time go back, by a boot with the wall clock behind


class Anchor(msgspec.Struct, frozen=True):
    """From where the store's time is counted; kept in the file."""

    boot: str
    since_boot: int
    time: int
    slow: int = 0  # since when (since boot) it waits for the wall clock to catch up; 0: it does not

    def time_at(self, since_boot: int) -> int:
        """The store's time."""
        if since_boot <= self.since_boot:
            return self.time
        passed = since_boot - self.since_boot
        return self.time + (passed // 2 if self.slow else passed)

    def goes_on_from(self, known: Anchor) -> bool:
        """Whether it gives the same times as an older one."""
        same_course = (self.boot, self.slow) == (known.boot, known.slow)
        return same_course and self.time == known.time_at(self.since_boot)


class HostClock:
    """The clocks of this host. Tests pass their own."""

    def __init__(self, wall: clock.Clock, since_boot: clock.Clock, boot: str) -> None:
        self._wall = wall
        self._since_boot = since_boot
        self.boot = boot

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for clocks that are the same."""
        return self._wall, self._since_boot, self.boot

    def since_boot(self) -> int:
        """Microseconds since the host booted."""
        return micros(self._since_boot())

    def first(self) -> Anchor:
        """The anchor of a new store."""
        return Anchor(self.boot, self.since_boot(), micros(self._wall()))

    def adjusted(self, known: Anchor) -> Anchor:
        """The anchor to go on from: `known` itself while there is no reason for another."""
        boot, since_boot, wall = self.boot, self.since_boot(), micros(self._wall())
        if known.boot != boot:
            behind = wall < known.time
            return Anchor(boot, since_boot, max(wall, known.time), since_boot if behind else 0)
        time = known.time_at(since_boot)
        gave_up = known.slow and since_boot - known.slow >= PATIENCE and wall < time - TOLERANCE
        if wall > time + TOLERANCE or gave_up:
            return Anchor(boot, since_boot, wall)
        slow = known.slow or (since_boot if wall < time - TOLERANCE else 0)
        if slow == known.slow and since_boot - known.since_boot < KEPT_EVERY:
            return known
        return Anchor(boot, since_boot, time, slow)


def boot_id() -> str:
    """What tells this boot of the host from all others. Raises ValueError where it is hidden."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError as error:
        raise ValueError(
            f"expected to read {_BOOT_ID}, got {error.strerror}"
            " (a unit with ProcSubset=pid hides it)"
        ) from None


def micros(seconds: float) -> int:
    """Whole microseconds."""
    return round(seconds * SECOND)


def seconds(micros: int) -> float:
    """Seconds."""
    return micros / SECOND
