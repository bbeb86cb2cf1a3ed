"""The masking preset: no value of a marked field leaves the tap."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from singer_sdk.singerlib.encoding import SimpleSingerWriter

from scripts.generate.files import ROOT
from tap_campusgroups.exceptions import SettingsError
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, Simulator
from tests.simulator.dataset import tap_schemas
from tests.support import documents
from tests.support.harness import NEWEST, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.simulator import Row

SENTINEL = "sentinel-5d20"
KEY = "a key of enough characters"
PRESET: dict[str, Any] = yaml.safe_load(
    (ROOT / "examples" / "masked.meltano.yml").read_text(encoding="utf-8")
)
PLUGIN, STRICT = PRESET["plugins"]["extractors"]
MASKED: dict[str, Any] = {
    "stream_maps": PLUGIN["config"]["stream_maps"],
    "stream_map_config": {"pseudonym_key": KEY},
}
SCHEMAS = tap_schemas("1.1")


def marks(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the marks of a schema, as pairs of top-level field and mark."""
    for name, definition in schema["properties"].items():
        for mark in _marks_in(definition):
            yield name, mark


def _marks_in(definition: Mapping[str, Any]) -> Iterator[str]:
    if (mark := definition.get("x-direct-identifier")) is not None:
        yield mark
    for inner in definition.get("properties", {}).values():
        yield from _marks_in(inner)
    if "items" in definition:
        yield from _marks_in(definition["items"])


MARKED = list(
    dict.fromkeys((stream, *found) for stream, schema in SCHEMAS.items() for found in marks(schema))
)


def sentinel_value(definition: Mapping[str, Any]) -> Any:
    """Return a value of a field's type in which every text is the sentinel."""
    kinds = definition["type"]
    match kinds if isinstance(kinds, str) else kinds[0]:
        case "object":
            return {name: sentinel_value(inner) for name, inner in definition["properties"].items()}
        case "array":
            return [sentinel_value(definition["items"])]
        case "string" if "format" not in definition:
            return SENTINEL
    return None


def fill_with_sentinels(row: Row, schema: Mapping[str, Any], *, is_odd: bool) -> None:
    """Put the sentinel into every marked field and into unknown fields."""
    for name, _ in marks(schema):
        row[name] = sentinel_value(schema["properties"][name])
        if is_odd:  # the wrong type, with an unknown field
            row[name] = {"unknown": [SENTINEL, row[name]]}
    row[f"new-{SENTINEL}"] = row["new"] = {"name": SENTINEL}


@pytest.fixture
def service() -> Iterator[Simulator]:
    """The simulator, with the sentinel in every row."""
    dataset = Dataset(6, newest=NEWEST, schemas=SCHEMAS)
    for stream, schema in SCHEMAS.items():
        for number, row in enumerate(dataset[stream]):
            fill_with_sentinels(row, schema, is_odd=number % 2 == 1)
    with Simulator(dataset) as simulator:
        yield simulator


def config_of(simulator: Simulator, **more: Any) -> dict[str, Any]:
    """Return the config of the masked tap."""
    return settings_for(simulator, api_version="1.1", page_size=4, **MASKED, **more)


def test_preset_masks_exactly_the_marked_fields_and_extra() -> None:
    assert {mark for _, _, mark in MARKED} == {"hash", "drop"}
    fields = {(stream, "_extra"): "__NULL__" for stream in SCHEMAS}
    for stream, field, mark in MARKED:
        is_whole = "x-direct-identifier" in SCHEMAS[stream]["properties"][field]
        fields[stream, field] = "sha256(" if mark == "hash" and is_whole else "__NULL__"
    preset = {(stream, field): MASKED["stream_maps"][stream][field] for stream, field in fields}
    assert len(preset) == sum(map(len, MASKED["stream_maps"].values()))
    for key, expression in preset.items():
        assert fields[key] in expression, key
        assert fields[key] == "sha256(" or expression == "__NULL__", key


def test_guide_lists_the_masked_fields_and_some_that_stay() -> None:
    """Also catches a mark that an edit removes by mistake."""
    text = documents.section("docs/masking.md", "Use the preset")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    listed = {
        (re.findall(r"`(\w+)`", stream)[0], name, mark)
        for stream, *cells in rows
        if len(cells) == 2
        for mark, cell in zip(("hash", "drop"), cells, strict=True)
        for name in re.findall(r"`(\w+)`", cell)
    }
    assert listed == set(MARKED)
    (stay,) = re.findall(r"All other fields stay.*?The ids", text, re.DOTALL)
    staying = re.findall(r"`(\w+)`", stay)
    fields = set(SCHEMAS["users"]["properties"]) - MASKED["stream_maps"]["users"].keys()
    assert {"city", "gender", "preferredEmail"} < set(staying) - {"users"} <= fields


@pytest.mark.parametrize(
    ("more", "deselected"),
    [
        ({}, ("rating", "email")),
        ({"flattening_enabled": True, "flattening_max_depth": 2}, ()),
        ({"unknown_fields": "ignore"}, ()),
        ({"export_window_days": 200, "start_date": "2024-01-01"}, ()),
    ],
    ids=["deselected fields", "flattening", "unknown fields ignored", "several windows"],
)
def test_masked_sync_with_any_settings_leaks_nothing(
    service: Simulator,
    caplog: pytest.LogCaptureFixture,
    more: dict[str, Any],
    deselected: tuple[str, ...],
) -> None:
    caplog.set_level(logging.DEBUG)
    catalog = catalog_of(SCHEMAS)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] in [["properties", field] for field in deselected]:
                entry["metadata"]["selected"] = False
    output = sync(config_of(service, **more), catalog=catalog if deselected else None)
    assert output.error is None
    assert len(output.records) >= 23
    assert {len(rows) for rows in output.records.values()} == {6}
    assert SENTINEL not in json.dumps(output.messages)
    # Names of unknown fields are logged, values are not.
    assert SENTINEL not in caplog.text.replace(f"new-{SENTINEL}", "")


def test_strict_preset_leaves_out_the_sensitive_fields(service: Simulator) -> None:
    sensitive = {
        (stream, field)
        for stream, schema in SCHEMAS.items()
        for field, definition in schema["properties"].items()
        if "x-sensitive" in definition
    }
    assert {("users", "gender"), ("users", "zipcode")} < sensitive
    assert STRICT["inherit_from"] == PLUGIN["name"]
    everything, *patterns = STRICT["select"]
    assert everything == "*.*"
    assert {tuple(one.removeprefix("!").split(".")) for one in patterns} == sensitive
    for stream, field in sensitive:
        for row in service.dataset[stream]:
            row[field] = {"odd": SENTINEL}
    catalog = catalog_of(SCHEMAS)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if (stream["tap_stream_id"], *entry["breadcrumb"][1:]) in sensitive:
                entry["metadata"]["selected"] = False
    output = sync(config_of(service), catalog=catalog)
    assert output.error is None
    assert SENTINEL not in json.dumps(output.messages)
    for stream, rows in output.records.items():
        assert not {field for row in rows for field in row if (stream, field) in sensitive}


def test_masked_sync_of_selected_streams_leaks_nothing(service: Simulator) -> None:
    """SDK 0.54 fails on stream maps of deselected streams."""
    output = sync(config_of(service), "users", "tags")
    assert output.error is None
    assert {stream: len(rows) for stream, rows in output.records.items()} == {"users": 6, "tags": 6}
    assert SENTINEL not in json.dumps(output.messages)


def test_masked_output_in_any_form_leaks_nothing(
    service: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run, and the SDK's other writer."""
    TapCampusGroups(config=config_of(service)).run_connection_test()
    stdout = capsys.readouterr().out
    assert '"RECORD"' in stdout
    assert SENTINEL not in stdout
    monkeypatch.setattr(TapCampusGroups, "message_writer_class", SimpleSingerWriter)
    output = sync(config_of(service))
    assert output.error is None
    assert len(output.records["users"]) == 6
    assert SENTINEL not in json.dumps(output.messages)


def test_unmasked_sync_emits_the_sentinel(service: Simulator) -> None:
    """Shows that the tests above can fail."""
    output = sync(settings_for(service, api_version="1.1"))
    for stream, _, _ in MARKED:
        assert SENTINEL in json.dumps(output.records[stream]), stream


def expected_hash(value: str, key: str = KEY) -> str:
    """Compute the hash of the preset's expression."""
    inner = hashlib.sha256(f"{key}{value}".encode()).hexdigest()
    return hashlib.sha256(f"{key}{inner}".encode()).hexdigest()


def test_masked_values_are_joinable_and_other_fields_unchanged() -> None:
    dataset = Dataset(8, newest=NEWEST)
    users = dataset["users"]
    users[0]["email"] = users[1]["email"] = "Zoë@example.edu"
    users[2]["email"], users[3]["email"] = "", None
    del users[4]["email"], users[4]["netid"], users[4]["firstName"]
    with Simulator(dataset) as simulator:
        plain = sync(settings_for(simulator), "users")
        masked = sync(settings_for(simulator, **MASKED), "users")
        other = sync(
            settings_for(simulator, **MASKED | {"stream_map_config": {"pseudonym_key": KEY[::-1]}}),
            "users",
        )
    assert plain.error is masked.error is None
    fields = MASKED["stream_maps"]["users"]
    before = {row["id"]: row for row in plain.records["users"]}
    differently = {row["id"]: row["email"] for row in other.records["users"]}
    for record in masked.records["users"]:
        row = before[record["id"]]
        for name in row.keys() - fields.keys():
            assert record[name] == row[name]
        for name, expression in fields.items():
            if expression == "__NULL__":
                assert name not in record
            elif value := row.get(name):
                assert record[name] == expected_hash(value)
            else:
                assert record[name] is None
    emails = {record["id"]: record["email"] for record in masked.records["users"]}
    first, second, *_ = (emails[user["id"]] for user in users)
    assert first == second != differently[users[0]["id"]]


USERS, TAGS = MASKED["stream_maps"]["users"], MASKED["stream_maps"]["tags"]
UNMASKED = {name: rule for name, rule in USERS.items() if name not in {"bio", "email"}}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"users": UNMASKED},
            "users without a rule for bio, email: add one, or deselect the field",
        ),
        ({"users": UNMASKED | {"email": "email", "bio": "bio"}}, None),
        ({"users": UNMASKED | {"id": "id", "__else__": None}}, None),
        ({"tags": {}}, "tags without a rule for _extra"),
        ({"tags": ...}, "tags without a rule for _extra"),
        ({"tags": None}, None),
        ({"tags": ..., "__else__": None}, None),
        ({"copy": {"__source__": "t?gs"}}, "tags without a rule for _extra"),
        ({"copy": {"__source__": "tags", "_extra": None}}, None),
        ({"groups": {}, "users": UNMASKED, "_deselected": ["bio", "email"]}, None),
    ],
    ids=[
        *("rules missing", "kept on purpose", "else null", "empty map", "no map", "dropped stream"),
        *("stream not mapped, else null", "copy", "masked copy", "deselected"),
    ],
)
def test_preset_without_a_rule_for_a_marked_field_is_an_error(
    changes: dict[str, Any], error: str | None
) -> None:
    catalog = catalog_of(["users", "tags"])
    for one in (one for entry in catalog["streams"] for one in entry["metadata"]):
        if one["breadcrumb"][1:] and one["breadcrumb"][1] in changes.get("_deselected", ()):
            one["metadata"]["selected"] = False
    maps = {k: v for k, v in (MASKED["stream_maps"] | changes).items() if v is not ...}
    maps.pop("_deselected", None)
    config = {"api_secret": "s", "school_code": "x", **MASKED, "stream_maps": maps}
    if error is None:
        TapCampusGroups(config=config, catalog=catalog)
    else:
        with pytest.raises(SettingsError, match=f": stream_maps masks {error}"):
            TapCampusGroups(config=config, catalog=catalog)
    # Without the preset's key, no field needs a rule.
    config["stream_map_config"] = {"campus": "N"}
    config["stream_maps"] = {k: v for k, v in maps.items() if k == "tags"}
    TapCampusGroups(config=config, catalog=catalog)


@pytest.mark.parametrize("key", [None, "", "0123456789abcde", 12345678901234567])
@pytest.mark.parametrize("name", ["pseudonym_key", "salt"])
def test_invalid_hash_key_is_an_error(name: str, key: object) -> None:
    config = {"api_secret": "s", "school_code": "x", "stream_map_config": {name: key}}
    with pytest.raises(SettingsError) as error:
        TapCampusGroups(config=config)
    assert f"stream_map_config.{name} must be text of at least 16 characters" in str(error.value)
    assert "0123456789" not in str(error.value)
    # A short value with another name is accepted.
    TapCampusGroups(config=config | {"stream_map_config": {"primary_key": "id"}})


@pytest.mark.parametrize(
    "model",
    sorted((ROOT / "examples" / "dbt" / "models" / "staging").glob("*.sql")),
    ids=lambda p: p.stem,
)
def test_dbt_models_use_no_masked_field(model: Path) -> None:
    stream = model.stem.removeprefix("stg_campusgroups__")
    columns = set(re.findall(r'"?(\w+)"?', re.sub("--.*", "", model.read_text("utf-8"))))
    assert "updatedOn" in columns
    assert not columns & {field for name, field, _ in MARKED if name == stream}
