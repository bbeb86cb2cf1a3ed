"""The measurement of loaders, with the two that `meltano install` installs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks.warehouse import loader_settings
from tests.loaders.__main__ import RESULTS
from tests.loaders.comparison import compare_nights, outcome
from tests.loaders.environments import loaders
from tests.loaders.measurement import Measurement
from tests.loaders.nights import Inputs
from tests.loaders.servers import Servers
from tests.support import pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = "meltanolabs-target-postgres, as in meltano.yml"
ONE = Decimal("12345678901234567890.123456789")
NOON = "2025-06-01T12:00:00.250000Z"
NAIVE = "2025-06-01T12:00:00.250000"


@pytest.mark.parametrize(
    ("kind", "sent", "got", "name"),
    [
        ("number", ONE, ONE, "exact"),
        ("number", ONE, "12345678901234567890.1234567890", "exact"),
        ("number", ONE, float(ONE), "double"),
        ("number", ONE, Decimal("12345678901234567890.12"), "double"),
        ("number", Decimal("0.10"), Decimal("0.1"), "exact"),
        ("number", Decimal("0.125"), Decimal("0.13"), "rounded"),
        ("number", Decimal(0), None, "null instead"),
        ("number", None, 0, "null is 0 or false"),
        ("integer", 2**53 + 1, float(2**53), "double"),
        ("integer", 2**53 + 1, str(2**53 + 1), "exact"),
        ("boolean", False, "False", "exact"),
        ("boolean", False, 0, "0 and 1"),
        ("boolean", False, True, "changed"),
        ("date", "0001-01-01", date(1, 1, 1), "exact"),
        ("date", "2025-06-01", "2025-06-01T00:00:00+00:00", "date with 00:00"),
        ("date", "2025-06-01", "2025-05-31", "changed"),
        ("date-time", NOON, NOON, "exact"),
        ("date-time", NOON, datetime(2025, 6, 1, 12, 0, 0, 250_000, UTC), "exact"),
        ("date-time", NOON, NAIVE, "naive UTC"),
        ("date-time", NAIVE, f"{NAIVE}+00:00", "labelled UTC"),
        ("date-time", NOON, "2025-06-01 07:00:00.25-05:00", "same instant, other text"),
        ("date-time", NOON, "2025-06-01 12:00:00", "fractions of a second cut"),
        ("date-time", NOON, "2025-06-01 17:00:00.25", "another time"),
        ("string", "", None, "empty text is null"),
        ("string", None, "", "null is empty text"),
        ("string", "a\nb", "a\\nb", "control characters are escapes"),
        ("string", "a\r\nb", "a\nb", "line breaks changed"),
        ("string", "a\0b", "a\ufffdb", "NUL is U+FFFD"),
        ("string", "long text", "long", "cut"),
        ("nested", {"a": [ONE]}, {"a": [ONE]}, "exact"),
        ("nested", {"a": [ONE]}, f'{{"a": [{ONE}]}}', "JSON text"),
        ("nested", {"a": [ONE]}, {"a": [float(ONE)]}, "double"),
        ("nested", {"a": [None, ONE]}, f"{{'a': [None, Decimal('{ONE}')]}}", "Python literal"),
        ("_extra", {"a": False}, {"a": None}, "changed"),
        ("_extra", {"a": False}, {}, "changed"),
    ],
)
def test_outcome_names_the_difference(kind: str, sent: Any, got: Any, name: str) -> None:
    assert outcome(kind, sent, got) == name


def row(number: int, name: str) -> dict[str, Any]:
    """Return a row of the test's stream."""
    return {"id": number, "name": name}


@pytest.mark.parametrize(
    ("stored", "mode", "lost", "surplus"),
    [
        ([row(1, "old"), row(2, "same"), row(1, "new")], "append", 0, 0),
        ([row(2, "same"), row(1, "new")], "upsert", 0, 0),
        ([row(2, "same"), row(1, "old")], "never updates", 0, 0),
        ([row(1, "new")], "only the last night", 0, 0),
        ([row(2, "same"), row(1, "new"), row(3, "unknown")], "upsert", 0, 1),
        ([row(2, "same")], "upsert", 1, 0),
    ],
)
def test_mode_is_that_with_the_fewest_differences(
    stored: list[dict[str, Any]], mode: str, lost: int, surplus: int
) -> None:
    nights = [{"s": [row(1, "old"), row(2, "same")]}, {"s": [row(1, "new")]}]
    fields = {"id": {"type": "integer"}, "name": {"type": ["string", "null"]}}
    table = compare_nights(nights, {"s": stored}, {"s": {"properties": fields}})
    assert (table.mode, table.lost, table.surplus) == (mode, lost, surplus)


def test_results_are_of_the_listed_versions_and_settings() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    listed = loaders()
    assert [*results] == [one.name for one in listed if one.name in results]
    for one in listed:
        found = results.get(one.name, {})
        for key in ("package", "version", "python"):
            assert found.get(key, getattr(one, key)) == getattr(one, key), one.name
    (ours,) = (one.config for one in listed if one.name == OURS)
    own = {"sqlalchemy_url", "default_target_schema", "log_config"}
    measured = {name: value for name, value in ours.items() if name not in own}
    assert measured == {name: value for name, value in loader_settings().items() if name not in own}


# The loaders that `meltano install` installs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The tap's output."""
    return Inputs(tmp_path_factory.mktemp("tap"), {})


@pytest.fixture
def measurement(
    request: pytest.FixtureRequest, inputs: Inputs, tmp_path: Path
) -> Iterator[Measurement]:
    """One of these loaders, by its name in the list."""
    (loader,) = (one for one in loaders() if one.name == request.param)
    programs = pipeline.plugin(loader.executable).parent
    with Servers(tmp_path / "servers") as servers:
        home = tmp_path / "loader"
        yield Measurement(loader, inputs, inputs, servers=servers, home=home, programs=programs)


@pytest.mark.slow
@pytest.mark.parametrize("measurement", ["target-jsonl"], indirect=True)
def test_json_lines_hold_every_value_of_two_nights(measurement: Measurement) -> None:
    found = measurement.measure(measurement.nights)
    assert {name for kind in found["values"].values() for name in kind["outcomes"]} == {"exact"}
    assert len(found["values"]) == 11
    rows = found["rows"]
    assert (rows["mode"], rows["lost"], rows["surplus"]) == ("append", [0, 0], [0, 0])
    assert found["states"] == {"lines": 1, "last": True, "in_order": True}
    assert found["names"] == ["kept"]
    assert measurement.measure(measurement.nul) == {"nul": "exact"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("measurement", "rows"), [("target-jsonl", 10), (OURS, 0)], indirect=["measurement"]
)
def test_cut_line_fails_and_confirms_nothing(measurement: Measurement, rows: int) -> None:
    found = measurement.measure(measurement.cut)
    assert found == {"cut": {"code": 1, "states": 0, "rows": rows}}
