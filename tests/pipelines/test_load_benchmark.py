"""The load benchmark compares values, not only row counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import scenarios, warehouse
from tests.benchmarks.measurement import Bench, CandidateError
from tests.support.postgres import DSN_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_load_benchmark_with_copy_reports_the_changed_decimal(
    postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails because COPY is exact, docs/warehouses.md no longer needs the known issue."""
    monkeypatch.setenv(DSN_VARIABLE, postgres_server)
    settings = warehouse.loader_settings() | {"use_copy": True}
    monkeypatch.setattr(warehouse, "loader_settings", lambda: settings)
    with pytest.raises(
        CandidateError, match=r"payments 1 amount: '0\.1234567890123456789' arrived"
    ):
        scenarios.load(Bench(tmp_path, scale=0.002, runs=1))
