"""All mutations."""

from __future__ import annotations

from tests.mutations.applying import APPLYING
from tests.mutations.memory import MEMORY
from tests.mutations.redis import REDIS
from tests.mutations.rules import RULES
from tests.mutations.sqlite import SQLITE
from tests.mutations.telling import TELLING

STORES = {"memory": MEMORY, "sqlite": SQLITE, "redis": REDIS}
ALL = [mutation for found in (*STORES.values(), APPLYING, RULES, TELLING) for mutation in found]
