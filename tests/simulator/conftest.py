"""Fixtures for the simulator's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulator import Dataset, Simulator
from tests.support.api_client import NEWEST, ApiClient

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def dataset() -> Dataset:
    """Return 20 rows per stream."""
    return Dataset(20, newest=NEWEST)


@pytest.fixture
def simulator(dataset: Dataset) -> Iterator[Simulator]:
    """Serve the dataset."""
    with Simulator(dataset) as simulator:
        yield simulator


@pytest.fixture
def client(simulator: Simulator) -> Iterator[ApiClient]:
    """Return a client of the simulator."""
    client = ApiClient(simulator)
    with client.session:
        yield client
