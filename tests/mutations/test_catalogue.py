"""The mutations still fit the code; `make mutations` sees that each is caught."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutations.catalogue import ALL, STORES
from tests.mutations.mutation import Mutation

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutation", ALL, ids=lambda each: f"{each.file}: {each.old.strip()[:40]}")
def test_a_mutation_changes_one_place(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text()
    assert text.count(mutation.old) == 1
    assert mutation.new != mutation.old
    for each in mutation.tests:
        if each.startswith("tests/"):
            assert (ROOT / each.partition("::")[0]).is_file()


def test_there_are_a_dozen_for_each_store() -> None:
    assert min(map(len, STORES.values())) >= 12
    assert set(Counter((each.file, each.old, each.new) for each in ALL).values()) == {1}
