"""What a mutation is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Edit = tuple[str, str, str, str]
"""Where (a file of the store), the text as it is, the text with the bug, the tests that notice."""


class Mutation(NamedTuple):
    """One bug, and who must notice it."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]  # of pytest, from the root of the project


def mutations(folder: str, store: str, edits: Iterable[Edit]) -> list[Mutation]:
    """Edits of the files of a folder; their tests are files of the contract for that store.

    A path with a slash is any other test.
    """
    found = []
    for file, old, new, tests in edits:
        contract = [f"tests/contract/test_{name}.py" for name in tests.split() if "/" not in name]
        others = [name for name in tests.split() if "/" in name]
        chosen = (*contract, *others, *(("-k", store) if contract else ()))
        found.append(Mutation(f"asyncmqd/backends/{folder}{file}", old, new, chosen))
    return found
