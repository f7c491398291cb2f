"""All mutations."""

from __future__ import annotations

from tests.mutations.applying import APPLYING
from tests.mutations.assigning import ASSIGNING
from tests.mutations.connecting import CONNECTING
from tests.mutations.memory import MEMORY
from tests.mutations.redis import REDIS
from tests.mutations.rules import RULES
from tests.mutations.sqlite import SQLITE
from tests.mutations.telling import TELLING
from tests.mutations.trips import SHARED_TRIPS

STORES = {"memory": MEMORY, "sqlite": SQLITE, "redis": REDIS}
OTHERS = (APPLYING, ASSIGNING, CONNECTING, RULES, TELLING, SHARED_TRIPS)
ALL = [mutation for found in (*STORES.values(), *OTHERS) for mutation in found]
