"""A few seeds of each storm; `make storm SEEDS=5000` runs thousands."""

from __future__ import annotations

import pytest

from tests.storms.table import STORMS, violation

SEEDS = {"faulty-service": 10, "changing-source": 10, "odd-pages": 10}


@pytest.mark.parametrize("name", STORMS)
def test_storm_violates_no_invariant(name: str) -> None:
    for seed in range(SEEDS[name]):
        found = violation(name, seed)
        assert found is None, found
