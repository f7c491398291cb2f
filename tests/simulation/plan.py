"""What befalls one world, all drawn from its seed: its size, its jobs, and its faults.

Each world has only some kinds of faults, and one in eight has none: with every kind at once, each
hides what the others would show.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from asyncmqd.domain.operation import Verb
from asyncmqd.domain.rate import Rate
from asyncmqd.domain.shared_limits import KeyLimits
from asyncmqd.domain.states import State
from asyncmqd.domain.typed_keywords import OnConflict, Overlap, UniqueWhile

FAULTS = (
    "loss",  # requests and replies are lost
    "far",  # messages take long, and overtake each other
    "deaf",  # wake-ups are lost
    "stall",  # the store answers nothing for a while
    "outage",  # it is down for a while
    "cut",  # all connections break
    "rollback",  # it comes back without its newest writes
    "kill",  # SIGKILL of a process
    "pause",  # SIGSTOP for one to three leases, then SIGCONT
    "stop",  # SIGTERM
    "poison",  # jobs that kill their process
    "cancel",  # jobs are cancelled from outside
)
NONE = frozenset[str]()

_KINDS: tuple[tuple[str, tuple[Any, ...], int], ...] = (  # task, arguments, weight
    ("quick", (), 10),
    ("sleepy", (0.3,), 4),
    ("sleepy", (2.0,), 3),
    ("slow", (), 2),
    ("progress", (), 2),
    ("flaky", (1,), 2),
    ("flaky", (3,), 1),
    ("again", (), 1),
    ("broken", (), 1),
    ("rejected", (), 1),
    ("endless", (), 1),
    ("stubborn", (), 1),
    ("perishable", (), 2),
    ("parent", (2,), 2),
)


@dataclass(frozen=True)
class Order:
    """One call of a producer: jobs of one task, at one moment."""

    at: float  # seconds
    queue: str
    task: str
    args: tuple[Any, ...]
    count: int
    delay: float
    priority: int
    unique: str = ""  # the name of all its jobs
    unique_while: UniqueWhile = "live"
    on_conflict: OnConflict = "existing"
    unique_for: float = 0.0
    key: str = ""  # of all its jobs
    cost: int = 1  # of each of its jobs


@dataclass(frozen=True)
class Operation:
    """What an operator does to many jobs of the first queue, at one moment."""

    at: float  # seconds
    verb: Verb
    states: tuple[State, ...]
    carries: bool  # and does it himself, until a call of his fails
    cancelled: float | None = None  # so many seconds later


@dataclass(frozen=True)
class Plan:
    """One world."""

    seed: int
    hosts: int
    queues: tuple[str, ...]
    concurrency: int
    rate: float | None  # starts a second, of the last queue, which then gets a burst of jobs
    every: float | None  # period of a repeatable of the first queue, in seconds
    faults: frozenset[str]
    length: float  # seconds in which faults occur
    orders: tuple[Order, ...]
    limit: int | None = None  # jobs of a queue that run in all processes together
    slots: int | None = None  # jobs of all queues that run in one process
    shared_rate: Rate | None = None  # of their starts, with seconds for its interval
    held: float = 0.0  # seconds that jobs of the repeatable take, one at a time
    overlap: Overlap = "queue"  # how it keeps them apart
    key_limits: KeyLimits | None = None  # of each key
    operations: tuple[Operation, ...] = ()
    watched: bool = False  # somebody reads the events of all processes


def draw_plan(seed: int) -> Plan:
    """The plan of this seed, the same for ever."""
    rng = random.Random(f"plan {seed}")
    queues = ("a", "b")[: rng.choice((1, 1, 2))]
    faults = NONE if seed % 8 == 0 else frozenset(rng.sample(FAULTS, rng.randint(1, 4)))
    length = rng.uniform(3, 8)
    orders = [_draw_order(rng, queues, length) for _ in range(rng.randint(3, 7))]
    if "poison" in faults:
        at = rng.uniform(0, length)
        orders.append(Order(at, queues[0], "poison", (), rng.choice((1, 1, 2)), 0.0, 5))
    rate = rng.choice((None, None, 3.0))
    if rate is not None:
        orders.append(Order(rng.uniform(0, length), queues[-1], "quick", (), 8, 0.0, 5))
    return Plan(
        seed=seed,
        hosts=rng.choice((1, 2, 2, 3)),
        queues=queues,
        concurrency=rng.choice((1, 3, 3, 20)),
        rate=rate,
        every=rng.choice((None, 1.0, 2.5)),
        faults=faults,
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
    )


def draw_poisoned_plan(seed: int) -> Plan:
    """A world with two or three poison jobs that kill at different ages, and innocents beside."""
    rng = random.Random(f"poisoned {seed}")
    queues = ("a", "b")[: rng.choice((1, 2))]
    length = rng.uniform(5, 15)
    innocents = (("quick", ()), ("sleepy", (0.3,)), ("sleepy", (2.0,)), ("slow", ()))
    orders = [
        Order(rng.uniform(0, length), rng.choice(queues), *rng.choice(innocents), 4, 0.0, 5)
        for _ in range(rng.randint(4, 10))
    ]
    for _ in range(rng.choice((2, 2, 3))):
        at, after = rng.uniform(0, length), rng.choice((0.05, 0.5, 3.0))
        orders.append(Order(at, rng.choice(queues), "poison", (after,), 1, 0.0, 5))
    others = frozenset(rng.sample(("loss", "stall", "cut", "stop", "kill", "pause"), 1))
    return Plan(
        seed=seed,
        hosts=rng.choice((1, 1, 2)),
        queues=queues,
        concurrency=rng.choice((3, 10, 20)),
        rate=None,
        every=rng.choice((None, 1.0)),
        faults=frozenset({"poison"}) | rng.choice((NONE, NONE, others)),
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
    )


def draw_limited_plan(seed: int) -> Plan:
    """A world of several processes that together may run fewer jobs than each has slots for.

    Jobs are cancelled while they run; wake-ups are not lost, so that one that is forgotten shows.
    """
    rng = random.Random(f"limited {seed}")
    length = rng.uniform(4, 8)
    tasks = (("quick", ()), ("sleepy", (0.3,)), ("sleepy", (2.0,)), ("slow", ()), ("flaky", (1,)))
    orders = [
        Order(rng.uniform(0, length), "a", *rng.choice(tasks), rng.choice((1, 2, 4)), 0.0, 5)
        for _ in range(rng.randint(4, 9))
    ]
    others = ("kill", "stop", "pause", "loss", "rollback", "outage", "cut")
    plan = Plan(
        seed=seed,
        hosts=rng.choice((2, 3)),
        queues=("a",),
        concurrency=rng.choice((3, 10)),
        rate=None,
        every=None,
        faults=frozenset({"cancel", *rng.sample(others, rng.choice((0, 1, 2)))}),
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
        limit=rng.choice((1, 2, 3)),
    )
    kind = rng.choice(("limit", "rate", "both"))
    if kind != "limit":
        rate = Rate(starts=rng.choice((1, 4)), interval=1.0, burst=rng.choice((1, 2, 3)))
        plan = replace(plan, shared_rate=rate)
    return replace(plan, limit=None) if kind == "rate" else plan


def draw_capped_plan(seed: int) -> Plan:
    """A world of processes whose queues share fewer slots than each of them could use."""
    rng = random.Random(f"capped {seed}")
    length = rng.uniform(4, 8)
    queues = ("a", "b", "c")[: rng.choice((2, 3))]
    tasks = (("quick", ()), ("sleepy", (0.3,)), ("sleepy", (2.0,)), ("slow", ()), ("flaky", (1,)))
    orders = [
        Order(rng.uniform(0, length), queue, *rng.choice(tasks), rng.choice((1, 3, 8)), 0.0, 5)
        for queue in queues
        for _ in range(rng.randint(1, 4))
    ]
    faults = frozenset(rng.sample(FAULTS, rng.choice((0, 1, 2))))
    if "poison" in faults:
        orders.append(Order(rng.uniform(0, length), rng.choice(queues), "poison", (), 1, 0.0, 5))
    return Plan(
        seed=seed,
        hosts=rng.choice((1, 2)),
        queues=queues,
        concurrency=rng.choice((3, 10, 20)),
        rate=rng.choice((None, None, 3.0)),
        every=None,
        faults=faults,
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
        slots=len(queues) + rng.choice((0, 1, 4)),
    )


def draw_jumping_plan(seed: int) -> Plan:
    """A world whose store's clock jumps, by an hour or by a year, forward and back.

    Nothing in it is delayed or runs out: that goes by the new time.
    """
    rng = random.Random(f"jumping {seed}")
    length = rng.uniform(6, 12)
    tasks = (("quick", ()), ("sleepy", (0.3,)), ("sleepy", (2.0,)), ("slow", ()))
    orders = [
        Order(rng.uniform(0, length), "a", *rng.choice(tasks), rng.choice((1, 2, 4)), 0.0, 5)
        for _ in range(rng.randint(4, 10))
    ]
    other = rng.choice((None, None, "kill", "kill", "stop", "deaf", "cut", "loss"))
    return Plan(
        seed=seed,
        hosts=rng.choice((2, 3)),
        queues=("a",),
        concurrency=rng.choice((3, 20)),
        rate=None,
        every=rng.choice((1.0, 2.5)),
        faults=frozenset({"jump", other} - {None}),
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
    )


def draw_plan_of_jumping_limits(seed: int) -> Plan:
    """A clock that jumps where limits of keys, limits over all processes, or unique names hold."""
    rng = random.Random(f"jumping limits {seed}")
    length = rng.uniform(6, 12)
    tasks = (("quick", ()), ("quick", ()), ("sleepy", (0.3,)), ("sleepy", (2.0,)), ("slow", ()))
    kind = rng.choice(("keys", "keys", "limits", "names"))
    orders = [
        Order(
            rng.uniform(0, length),
            "a",
            *rng.choice(tasks),
            count=rng.choice((1, 2, 4)),
            delay=0.0,
            priority=rng.choice((5, 5, 1)),
            key=rng.choice(("many", "many", "one", "")) if kind == "keys" else "",
            unique=(name := rng.choice(("one", "one", "two", "")) if kind == "names" else ""),
            unique_while="waiting" if name == "two" else "live",
            on_conflict=rng.choice(("existing", "replace", "again"))
            if name == "one"
            else "existing",
        )
        for _ in range(rng.randint(8, 16))
    ]
    others = ("kill", "kill", "stop", "cancel", "cut", "loss", "deaf")
    plan = Plan(
        seed=seed,
        hosts=rng.choice((2, 3)),
        queues=("a",),
        concurrency=rng.choice((3, 10)),
        rate=None,
        every=rng.choice((None, None, 2.5)),
        faults=frozenset({"jump", *rng.sample(others, rng.choice((0, 1, 2)))}),
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
    )
    rate, burst = rng.choice((None, 2.0, 4.0)), rng.choice((1.0, 3.0))
    most = rng.choice((1, 2)) if rate is None else rng.choice((None, 1, 2))
    if kind == "keys":
        limits = KeyLimits(concurrency=most, rate_limit=rate, burst=rate and burst)
        return replace(plan, key_limits=limits)
    if kind == "limits":
        shared = rate and Rate(starts=rate, interval=1.0, burst=burst)
        return replace(plan, limit=most, shared_rate=shared)
    return plan


def draw_dense_plan(seed: int) -> Plan:
    """Many jobs, some longer than a lease, and what is rare elsewhere: for bugs of rare moments.

    In one half of them replies are lost and processes killed, in the other processes are stopped
    beyond their leases and told to end meanwhile.
    """
    rng = random.Random(f"dense {seed}")
    length = rng.uniform(6, 10)
    frozen = seed % 2 == 1
    tasks = (("quick", ()), ("sleepy", (6.0 if frozen else 0.3,)), ("slow", ()))
    orders = [
        Order(rng.uniform(0, length), "a", *rng.choice(tasks), rng.choice((1, 2, 4)), 0.0, 5)
        for _ in range(20)
    ]
    return Plan(
        seed=seed,
        hosts=3,
        queues=("a",),
        concurrency=3,
        rate=None,
        every=None,
        faults=frozenset({"freeze"} if frozen else {"kill", "loss"}),
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
    )


def draw_unique_plan(seed: int) -> Plan:
    """Jobs of three names are enqueued again and again, while workers and messages are lost."""
    rng = random.Random(f"unique {seed}")
    length = rng.uniform(6, 10)
    tasks = (("quick", ()), ("sleepy", (0.3,)), ("slow", ()), ("flaky", (1,)), ("broken", ()))
    orders = [
        Order(
            rng.uniform(0, length),
            "a",
            *rng.choice(tasks),
            count=rng.choice((1, 2)),
            delay=rng.choice((0.0, 0.0, 1.5))
            if on_conflict == "replace"
            else rng.choice((0.5, 1.5)),
            priority=rng.choice((5, 1)),
            unique=(name := rng.choice(("one", "one", "two", "three", "four", "four"))),
            unique_while="waiting" if name == "two" else "live",
            unique_for=3.0 if name == "three" else 0.0,
            on_conflict=on_conflict if name == "four" else "existing",
        )
        for on_conflict in rng.choices(("replace", "push"), k=40)
    ]
    others = ("kill", "loss", "pause", "cancel", "stop", "cut")
    return Plan(
        seed=seed,
        hosts=3,
        queues=("a",),
        concurrency=rng.choice((1, 3)),
        rate=None,
        every=None,
        faults=frozenset({"kill", *rng.sample(others, 2)}),
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
    )


def draw_followed_plan(seed: int) -> Plan:
    """The same where a job of a name that runs has a successor instead."""
    plan = draw_unique_plan(seed)
    orders = [
        replace(order, on_conflict="again") if order.on_conflict == "replace" else order
        for order in plan.orders
    ]
    return replace(plan, orders=tuple(orders))


def draw_held_plan(seed: int) -> Plan:
    """A schedule whose jobs must not overlap, while those that run them are lost or stand still."""
    rng = random.Random(f"held {seed}")
    length = rng.uniform(6, 10)
    others = ("kill", "loss", "pause", "cut", "stop", "outage")
    return Plan(
        seed=seed,
        hosts=3,
        queues=("a",),
        concurrency=3,
        rate=None,
        every=0.5,
        held=rng.choice((0.3, 0.45)),
        faults=frozenset({"kill", *rng.sample(others, 2)}),
        length=length,
        orders=(),
    )


def draw_replaced_plan(seed: int) -> Plan:
    """A schedule whose jobs are replaced by later ones, and do not all stop when they are told."""
    rng = random.Random(f"replaced {seed}")
    others = ("loss", "pause", "cut", "stop", "outage", "deaf")
    return Plan(
        seed=seed,
        hosts=3,
        queues=("a",),
        concurrency=3,
        rate=None,
        every=0.5,
        held=1.4,
        overlap="replace",
        faults=frozenset({"kill", *rng.sample(others, rng.choice((0, 1, 2)))}),
        length=rng.uniform(6, 10),
        orders=(),
    )


def draw_keyed_plan(seed: int) -> Plan:
    """Jobs of keys that have many and few, and of none, while workers and messages are lost."""
    rng = random.Random(f"keyed {seed}")
    length = rng.uniform(6, 10)
    tasks = (("quick", ()), ("sleepy", (0.3,)), ("flaky", (1,)), ("slow", ()), ("broken", ()))
    orders = [
        Order(
            rng.uniform(0, length),
            "a",
            *rng.choice(tasks[:3] if key == "many" else tasks),
            count=20 if key == "many" else rng.choice((1, 1, 3)),
            delay=rng.choice((0.0, 0.0, 1.5)),
            priority=rng.choice((5, 5, 1)),
            key=key,
        )
        for key in rng.choices(("many", "one", "two", "three", ""), (2, 3, 3, 2, 3), k=20)
    ]
    others = ("kill", "loss", "pause", "cancel", "stop", "cut", "rollback", "outage")
    return Plan(
        seed=seed,
        hosts=rng.choice((1, 2, 3)),
        queues=("a",),
        concurrency=rng.choice((1, 2, 5)),
        rate=None,
        every=None,
        faults=frozenset(rng.sample(others, rng.choice((1, 2)))),
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
    )


def draw_plan_of_key_limits(seed: int) -> Plan:
    """The same with limits of each key: no wake-up is lost, so that one that is forgotten shows."""
    rng = random.Random(f"key limits {seed}")
    concurrency, rate = rng.choice(((1, None), (2, None), (None, 4.0), (2, 4.0), (1, 1.5)))
    burst = None if rate is None else rng.choice((1.0, 3.0))
    limits = KeyLimits(concurrency=concurrency, rate_limit=rate, burst=burst)
    return replace(draw_keyed_plan(seed), key_limits=limits, hosts=rng.choice((2, 3)))


def draw_priced_plan(seed: int) -> Plan:
    """Rates over all processes, or of each key, where jobs cost different numbers of tokens."""
    rng = random.Random(f"priced {seed}")
    if seed % 2:
        plan = draw_plan_of_key_limits(seed)
        burst = rng.choice((2.0, 5.0))
        limits = KeyLimits(concurrency=rng.choice((None, 2)), rate_limit=8.0, burst=burst)
        plan = replace(plan, key_limits=limits)
    else:
        rate = Rate(starts=rng.choice((4, 10)), interval=1.0, burst=rng.choice((2, 5)))
        plan = replace(draw_limited_plan(seed), shared_rate=rate)
    orders = [replace(each, cost=rng.choice((1, 1, 2, 4, 9))) for each in plan.orders]
    return replace(plan, orders=tuple(orders))


def draw_watched_plan(seed: int) -> Plan:
    """Somebody watches, from before the first process on."""
    return replace(draw_plan(seed), watched=True)


def draw_idle_plan(seed: int) -> Plan:
    """Queues that are idle most of the time, so that jobs are assigned as soon as they are added.

    In one half of the worlds somebody watches; in some a rate limits starts, or slots are shared.
    """
    rng = random.Random(f"idle {seed}")
    queues = ("a", "b")[: rng.choice((1, 1, 2))]
    length = rng.uniform(6, 12)
    tasks = (("quick", ()), ("quick", ()), ("sleepy", (0.3,)), ("sleepy", (6.0,)), ("slow", ()))
    orders = [
        Order(
            rng.uniform(0, length),
            rng.choice(queues),
            *rng.choice((*tasks, ("flaky", (1,)), ("progress", ()), ("perishable", ()))),
            count=rng.choice((1, 1, 1, 1, 3)),
            delay=0.0,
            priority=rng.choice((5, 5, 1)),
        )
        for _ in range(rng.choice((15, 30)))
    ]
    faults = frozenset(rng.sample((*FAULTS, "freeze", "freeze", "pause", "stop"), 2))
    if "poison" in faults:
        orders.append(Order(rng.uniform(0, length), queues[0], "poison", (), 1, 0.0, 5))
    return Plan(
        seed=seed,
        hosts=rng.choice((1, 2, 3)),
        queues=queues,
        concurrency=rng.choice((1, 1, 3, 20)),
        rate=rng.choice((None, None, None, 3.0)),
        every=None,
        faults=NONE if seed % 8 == 0 and "poison" not in faults else faults,
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
        slots=len(queues) + 1 if rng.random() < 0.2 else None,
        watched=seed % 2 == 1,
    )


def draw_operated_plan(seed: int) -> Plan:
    """Operators move many jobs, and whoever carries an operation dies, or loses its connection."""
    rng = random.Random(f"operated {seed}")
    length = rng.uniform(10, 16)
    tasks = (("broken", ()), ("broken", ()), ("quick", ()), ("slow", ()), ("flaky", (1,)))
    orders = [
        Order(
            rng.uniform(0, length / 2),
            "a",
            *rng.choice(tasks),
            count=rng.choice((1, 4, 9)),
            delay=rng.choice((0.0, 0.0, 0.0, 20.0)),
            priority=rng.choice((5, 1)),
        )
        for _ in range(14)
    ]
    operations = [
        Operation(
            rng.uniform(2, length),
            *rng.choices(_OPERATIONS, (5, 1, 1, 1))[0],
            carries=rng.choice((True, False)),
            cancelled=rng.choice((None, None, None, rng.uniform(0, 6))),
        )
        for _ in range(rng.choice((1, 2, 4)))
    ]
    others = ("loss", "far", "kill", "stop", "cut", "rollback", "outage", "stall")
    return Plan(
        seed=seed,
        hosts=rng.choice((1, 2, 3)),
        queues=("a",),
        concurrency=rng.choice((3, 10)),
        rate=None,
        every=None,
        faults=frozenset({"carrier", *rng.sample(others, rng.choice((0, 1, 2)))}),
        length=length,
        orders=tuple(sorted(orders, key=lambda order: order.at)),
        operations=tuple(operations),
    )


_OPERATIONS: tuple[tuple[Verb, tuple[State, ...]], ...] = (
    ("retry", (State.FAILED,)),
    ("cancel", (State.WAITING, State.DELAYED, State.ACTIVE)),
    ("remove", (State.COMPLETED, State.FAILED, State.CANCELLED)),
    ("run_now", (State.DELAYED,)),
)


def _draw_order(rng: random.Random, queues: tuple[str, ...], length: float) -> Order:
    ((task, args, _),) = rng.choices(_KINDS, [weight for *_, weight in _KINDS])
    return Order(
        at=rng.uniform(0, length),
        queue=rng.choice(queues),
        task=task,
        args=args,
        count=rng.choice((1, 1, 2, 4)),
        delay=rng.choice((0.0, 0.0, 0.0, 1.5)),
        priority=rng.choice((5, 5, 1, 9)),
    )
