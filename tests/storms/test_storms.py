"""A few seeds of each storm; `make storm SEEDS=5000` plays thousands."""

from __future__ import annotations

import pytest

from tests.storms.__main__ import STORMS, violations


@pytest.mark.parametrize("name", STORMS)
def test_storm_violates_no_invariant(name: str) -> None:
    assert violations(name, first=0, seeds=10) == 0
