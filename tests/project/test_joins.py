"""References between streams: the schemas, the map of joins and the tests of the dbt models."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from scripts.generate.joins import DIAGRAMS, references
from scripts.generate.reference import fields_of, schema_of
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS

MODELS = Path(__file__).parents[2] / "examples" / "dbt" / "models" / "staging"
COLUMN = re.compile(r'"(\w+)" as (\w+)')


def test_reference_is_to_a_stream_that_its_description_names() -> None:
    found = references()
    assert len(found) > 70
    for one in found:
        assert f"{one.target}.id" in one.description, one
        assert one.is_presumed is ("presumably" in one.description), one
    assert {one.target for one in found} <= set(STREAMS[max(ApiVersion)])
    named = {
        (stream, path)
        for stream in STREAMS[max(ApiVersion)]
        for path, field in fields_of(schema_of(stream))
        if re.search(r"\b[a-z_]+\.id\b", field["description"])
    }
    assert named - {(one.stream, one.path) for one in found} == {("rsvp", "memberId")}


def test_each_stream_is_in_one_diagram() -> None:
    drawn = [stream for streams in DIAGRAMS.values() for stream in streams]
    assert sorted(drawn) == sorted(STREAMS[max(ApiVersion)])


def test_dbt_tests_the_documented_references_of_the_staging_models_as_warnings() -> None:
    models = {
        one["name"]: one for one in yaml.safe_load((MODELS / "staging.yml").read_text())["models"]
    }
    staged = {name.removeprefix("stg_campusgroups__") for name in models}
    expected = {
        (one.stream, one.path, one.target)
        for one in references()
        if one.stream in staged and one.target in staged and not one.is_presumed
    }
    tested = set()
    for name, model in models.items():
        fields = {own: field for field, own in COLUMN.findall((MODELS / f"{name}.sql").read_text())}
        stream = name.removeprefix("stg_campusgroups__")
        expected = {one for one in expected if one[0] != stream or one[1] in fields.values()}
        for column in model["columns"]:
            for test in column.get("data_tests", []):
                if isinstance(test, dict) and "relationships" in test:
                    assert test["relationships"]["config"] == {"severity": "warn"}
                    (target,) = re.findall(r"(\w+)'\)", test["relationships"]["arguments"]["to"])
                    target = target.removeprefix("stg_campusgroups__")
                    tested.add((stream, fields[column["name"]], target))
    assert tested == expected
