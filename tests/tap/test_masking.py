"""The masking preset: of what is marked in the schemas, nothing leaves the tap."""

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
from tests.support.harness import NEWEST, catalog_of, settings_for, sync
from tests.support.pipeline import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.simulator import Row

SENTINEL = "sentinel-5d20"
KEY = "a key of enough characters"
PRESET: dict[str, Any] = yaml.safe_load(
    (ROOT / "examples" / "masked.meltano.yml").read_text(encoding="utf-8")
)
(PLUGIN,) = PRESET["plugins"]["extractors"]
MASKED: dict[str, Any] = {
    "stream_maps": PLUGIN["config"]["stream_maps"],
    "stream_map_config": {"pseudonym_key": KEY},
}
SCHEMAS = tap_schemas("1.1")


def marks(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Walk the marks of a schema: top-level field, mark."""
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


def told(definition: Mapping[str, Any]) -> Any:
    """Make a value of a field's type in which every text is the sentinel."""
    kinds = definition["type"]
    match kinds if isinstance(kinds, str) else kinds[0]:
        case "object":
            return {name: told(inner) for name, inner in definition["properties"].items()}
        case "array":
            return [told(definition["items"])]
        case "string" if "format" not in definition:
            return SENTINEL
    return None


def tell(row: Row, schema: Mapping[str, Any], *, is_odd: bool) -> None:
    """Put sentinels into all that is marked, and into what `_extra` would hold."""
    for name, _ in marks(schema):
        row[name] = told(schema["properties"][name])
        if is_odd:  # texts become JSON, arrays and objects do not fit, or have unknown fields
            row[name] = {"unknown": [SENTINEL, row[name]]}
    row[f"new-{SENTINEL}"] = row["new"] = {"name": SENTINEL}


@pytest.fixture
def service() -> Iterator[Simulator]:
    """A service of which every row tells of a person."""
    dataset = Dataset(6, newest=NEWEST, schemas=SCHEMAS)
    for stream, schema in SCHEMAS.items():
        for number, row in enumerate(dataset[stream]):
            tell(row, schema, is_odd=number % 2 == 1)
    with Simulator(dataset) as simulator:
        yield simulator


def config_of(simulator: Simulator, **more: Any) -> dict[str, Any]:
    """Make the masked tap's config."""
    return settings_for(simulator, api_version="1.1", page_size=4, **MASKED, **more)


@pytest.mark.parametrize(("stream", "field", "mark"), MARKED)
def test_the_preset_has_what_is_marked(stream: str, field: str, mark: str) -> None:
    expression = MASKED["stream_maps"][stream][field]
    is_hashed = mark == "hash" and "x-direct-identifier" in SCHEMAS[stream]["properties"][field]
    assert ("sha256(" in expression) == is_hashed
    assert (expression == "__NULL__") == (not is_hashed)


def test_the_preset_has_nothing_else() -> None:
    fields = {
        (stream, field) for stream, fields in MASKED["stream_maps"].items() for field in fields
    }
    assert fields == {mark[:2] for mark in MARKED} | {(stream, "_extra") for stream in SCHEMAS}


def test_what_everybody_calls_an_identifier_is_marked() -> None:
    """A mark lost in an edit shows here."""
    hashed = {(stream, field) for stream, field, mark in MARKED if mark == "hash"}
    assert hashed == {("groups", "email")} | {
        ("users", field)
        for field in (
            *("email", "otherEmail", "alumniEmail", "netid", "netid2", "netid3"),
            *("swipeid", "qrcode", "barcode", "rfid", "externalUid"),
        )
    }
    dropped = {field for stream, field, mark in MARKED if mark == "drop" and stream == "users"}
    assert dropped == {
        *("firstName", "lastName", "maidenName", "middleInitial", "phoneNumber", "mobileNumber"),
        *("streetAddress", "bio", "customFields"),
    }


def test_there_are_two_marks() -> None:
    assert {mark for _, _, mark in MARKED} == {"hash", "drop"}


ROADS: dict[str, dict[str, Any]] = {
    "usual": {},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 2},
    "ignoring": {"unknown_fields": "ignore"},
    "in windows": {"export_window_days": 200, "start_date": "2024-01-01"},
}


@pytest.mark.parametrize("more", ROADS.values(), ids=ROADS)
def test_nothing_leaves(
    service: Simulator, caplog: pytest.LogCaptureFixture, more: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    output = sync(config_of(service, **more))
    assert output.error is None
    assert {stream: len(rows) for stream, rows in output.records.items()} == dict.fromkeys(
        SCHEMAS, 6
    )
    assert SENTINEL not in json.dumps(output.messages)
    # The name of a field that the schema does not have is told, as ever; values are not.
    assert SENTINEL not in caplog.text.replace(f"new-{SENTINEL}", "")


@pytest.mark.parametrize("field", ["rating", "email"])
def test_nothing_leaves_beside_a_deselected_field(service: Simulator, field: str) -> None:
    catalog = catalog_of(SCHEMAS)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == ["properties", field]:
                entry["metadata"]["selected"] = False
    output = sync(config_of(service), catalog=catalog)
    assert output.error is None
    assert SENTINEL not in json.dumps(output.messages)


def test_the_preset_can_be_used_with_a_selection(service: Simulator) -> None:
    """The SDK alone fails for the stream maps of deselected streams."""
    output = sync(config_of(service), "users", "tags")
    assert output.error is None
    assert {stream: len(rows) for stream, rows in output.records.items()} == {"users": 6, "tags": 6}
    assert SENTINEL not in json.dumps(output.messages)


def test_nothing_leaves_by_another_writer(
    service: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TapCampusGroups, "message_writer_class", SimpleSingerWriter)
    output = sync(config_of(service))
    assert output.error is None
    assert len(output.records["users"]) == 6
    assert SENTINEL not in json.dumps(output.messages)


def test_nothing_leaves_in_a_dry_run(
    service: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    TapCampusGroups(config=config_of(service)).run_connection_test()
    written = capsys.readouterr().out
    assert '"RECORD"' in written
    assert SENTINEL not in written


def test_the_sentinel_would_be_seen(service: Simulator) -> None:
    """The tests above can fail: without the preset it is everywhere that is marked."""
    output = sync(settings_for(service, api_version="1.1"))
    for stream, _, _ in MARKED:
        assert SENTINEL in json.dumps(output.records[stream]), stream


def hmac_like(value: str, key: str = KEY) -> str:
    """Compute what the preset's expression does."""
    inner = hashlib.sha256(f"{key}{value}".encode()).hexdigest()
    return hashlib.sha256(f"{key}{inner}".encode()).hexdigest()


def test_equal_values_stay_equal_and_everything_else_is_as_it_was() -> None:
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
                assert record[name] == hmac_like(value)
            else:
                assert record[name] is None
    emails = {record["id"]: record["email"] for record in masked.records["users"]}
    first, second, *_ = (emails[user["id"]] for user in users)
    assert first == second != differently[users[0]["id"]]


@pytest.mark.parametrize("key", [None, "", "0123456789abcde", 12345678901234567])
@pytest.mark.parametrize("name", ["pseudonym_key", "salt"])
def test_a_key_that_is_none_is_refused(name: str, key: object) -> None:
    config = {"api_secret": "s", "school_code": "x", "stream_map_config": {name: key}}
    with pytest.raises(SettingsError) as error:
        TapCampusGroups(config=config)
    assert f"stream_map_config has a {name} that is no text of 16 or more" in str(error.value)
    assert "0123456789" not in str(error.value)


def test_a_value_that_is_no_key_may_be_short() -> None:
    config = {"api_secret": "s", "school_code": "x", "stream_map_config": {"campus": "N"}}
    TapCampusGroups(config=config)


def test_meltano_runs_the_preset(service: Simulator, tmp_path: Path) -> None:
    """As the README says it: the plugin of the preset, the key in the environment."""
    workspace = Workspace(tmp_path, service=service)
    workspace.environment["TAP_CAMPUSGROUPS_API_VERSION"] = "1.1"
    output = workspace.folder / "output"
    arguments = ("run", PLUGIN["name"], "target-jsonl")
    refused = workspace.meltano(*arguments)
    assert refused.code != 0
    assert "stream_map_config has a pseudonym_key that is no text" in refused.output
    assert not output.exists()

    finished = workspace.meltano(*arguments, variables={"CAMPUSGROUPS_PSEUDONYM_KEY": KEY})
    assert finished.code == 0, finished.output
    files = {
        file.stem: file.read_text("utf-8") for file in (output / PLUGIN["load_schema"]).iterdir()
    }
    assert {stream: text.count("\n") for stream, text in files.items()} == dict.fromkeys(SCHEMAS, 6)
    assert not [stream for stream, text in files.items() if SENTINEL in text]
    assert hmac_like(SENTINEL) in files["users"]


@pytest.mark.parametrize(
    "model",
    sorted((ROOT / "examples" / "dbt" / "models" / "staging").glob("*.sql")),
    ids=lambda p: p.stem,
)
def test_the_models_need_nothing_that_is_masked(model: Path) -> None:
    stream = model.stem.removeprefix("stg_campusgroups__")
    columns = set(re.findall(r'"?(\w+)"?', re.sub("--.*", "", model.read_text("utf-8"))))
    assert "updatedOn" in columns
    assert not columns & {field for name, field, _ in MARKED if name == stream}
