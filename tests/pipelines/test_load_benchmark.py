"""The load benchmark compares values, not only row counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks import scenarios, warehouse
from tests.benchmarks.display import Display
from tests.benchmarks.processes import CandidateError
from tests.benchmarks.runner import Runner
from tests.support.postgres import DSN_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_load_benchmark_with_copy_reports_the_changed_decimal(
    postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails because COPY is exact, docs/warehouses.md no longer needs the known issue."""
    monkeypatch.setenv(DSN_VARIABLE, postgres_server)

    def with_copy() -> dict[str, Any]:
        return {**warehouse.project_settings(), "use_copy": True}

    monkeypatch.setattr(scenarios, "project_settings", with_copy)
    runner = Runner(Display(), tmp_path, scale=0.002, runs=1)
    with pytest.raises(
        CandidateError, match=r"payments 1 amount: '0\.1234567890123456789' arrived"
    ):
        scenarios.load(runner)
