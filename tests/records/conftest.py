"""Fixtures for tests of records."""

from __future__ import annotations

import pytest

from tests.support.fast_path import Tap


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Tap:
    """The tap, run in this process."""
    return Tap(monkeypatch, caplog)
