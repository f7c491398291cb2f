"""The faults: when they come, and what they do. Each is drawn from the world's generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.process import LEASE, Process
from tests.simulation.server import FAR, NEAR

if TYPE_CHECKING:
    from tests.simulation.simulation import Client, Simulation

# A lease may end for these.
SLOW = frozenset({"far", "stall", "outage", "rollback", "pause", "freeze", "carrier"})
HOUR, YEAR = 3_600.0, 366 * 86_400.0
DEADLY = frozenset({"kill", "poison", "carrier"})  # jobs may become candidates


def end(sim: Simulation) -> None:
    """The network is well again; what lasts a while (a pause, an outage) comes to its own end."""
    sim.server.latency, sim.server.loss, sim.server.deafness = NEAR, 0.0, 0.0


def _sometimes(sim: Simulation, most: int, what: Callable[[], None]) -> None:
    """Plan `what` for one to `most` moments before the end."""
    for _ in range(sim.world.rng.randint(1, most)):
        sim.world.after(sim.world.rng.uniform(0, sim.plan.length), what)


def _lasts(sim: Simulation, low: float, high: float) -> float:
    """A number of seconds, which the calm afterwards waits for."""
    seconds = sim.world.rng.uniform(low, high)
    sim.calm_at = max(sim.calm_at, sim.world.now + seconds)
    return seconds


def _loss(sim: Simulation) -> None:
    sim.server.loss = sim.world.rng.uniform(0.01, 0.2)


def _far(sim: Simulation) -> None:
    sim.server.latency = FAR


def _deaf(sim: Simulation) -> None:
    sim.server.deafness = 0.5


def _stall(sim: Simulation) -> None:
    _sometimes(sim, 2, lambda: sim.server.stall(_lasts(sim, 0.2, 2 * LEASE)))


def _outage(sim: Simulation) -> None:
    _sometimes(sim, 2, lambda: sim.server.go_down(_lasts(sim, 0.2, 1.5 * LEASE), forget=False))


def _cut(sim: Simulation) -> None:
    _sometimes(sim, 4, sim.server.cut)


def _rollback(sim: Simulation) -> None:
    """The store loses what it wrote in the last moments: power fails under a lazy fsync."""
    loses = sim.world.rng.uniform(0.02, 1.0)
    at = sim.world.rng.uniform(0, sim.plan.length - loses)
    sim.world.after(at, sim.server.take_snapshot)
    sim.world.after(at + loses, lambda: sim.server.go_down(_lasts(sim, 0.1, 1.0), forget=True))


def _anyone(sim: Simulation) -> Process | None:
    living = [process for process in sim.processes if process.living]
    return sim.world.rng.choice(living) if living else None


def _kill(sim: Simulation) -> None:
    def strike() -> None:
        if process := _anyone(sim):
            process.kill("injected")

    _sometimes(sim, 3, strike)


def _pause(sim: Simulation) -> None:
    def strike() -> None:
        if process := _anyone(sim):
            seconds = _lasts(sim, LEASE, 3 * LEASE)
            process.loop.pause(seconds)
            if sim.world.chance(0.3):  # it is told to stop meanwhile, and learns of it afterwards
                sim.world.after(seconds / 2, process.stop)

    _sometimes(sim, 2, strike)


def _freeze(sim: Simulation) -> None:
    """Stopped beyond its lease, and told to end meanwhile: it hands back what it has lost."""

    def strike() -> None:
        if process := _anyone(sim):
            seconds = _lasts(sim, 1.2 * LEASE, 2 * LEASE)
            process.loop.pause(seconds)
            sim.world.after(seconds / 2, process.stop)

    _sometimes(sim, 6, strike)


def _stop(sim: Simulation) -> None:
    def strike() -> None:
        if process := _anyone(sim):
            process.stop()

    _sometimes(sim, 2, strike)


def _jump(sim: Simulation) -> None:
    def strike() -> None:
        sim.world.jump(sim.world.rng.choice((HOUR, -HOUR, YEAR, -YEAR)))

    _sometimes(sim, 3, strike)


def _carrier(sim: Simulation) -> None:
    """Who carries an operation dies after a step, or stands still for longer than its lease."""

    def strike(process: Process) -> None:
        if process.living and sim.world.now < sim.plan.length:
            if sim.world.chance(0.5):
                process.kill("injected")
            else:
                # Until others have just begun to carry it, or longer.
                process.loop.pause(_lasts(sim, LEASE, sim.world.rng.choice((1.06, 2)) * LEASE))

    def on_step(sender: Process | Client) -> None:
        if isinstance(sender, Process) and sim.world.chance(0.15):
            sim.world.after(sim.world.rng.uniform(0, 0.004), strike, sender)

    sim.judge.on_step = on_step


def _in_the_orders(_: Simulation) -> None:
    """Nothing to plan: the orders have it."""


PLANS: dict[str, Callable[[Simulation], None]] = {
    "loss": _loss,
    "far": _far,
    "deaf": _deaf,
    "stall": _stall,
    "outage": _outage,
    "cut": _cut,
    "rollback": _rollback,
    "kill": _kill,
    "pause": _pause,
    "stop": _stop,
    "jump": _jump,
    "freeze": _freeze,
    "carrier": _carrier,
    "poison": _in_the_orders,
    "cancel": _in_the_orders,
}
