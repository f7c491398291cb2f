"""Orders of two customers, as an import has them.

`ASYNCMQD_BACKEND=sqlite:///tmp/api_calls.db python -m api_calls.fill`
"""

from __future__ import annotations

from api_calls.tasks import push


def fill(wanted: dict[str, int]) -> int:
    """Enqueue so many orders of each customer; how many they are."""
    jobs = [(name, order) for name, number in wanted.items() for order in range(number)]
    for name, order in jobs:
        push.enqueue_sync(name, order)
    return len(jobs)


if __name__ == "__main__":
    print(fill({"busy": 200, "small": 3}))
