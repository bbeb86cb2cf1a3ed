"""Mistakes in stream maps and in a catalog's selection and schemas: one line, no request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import SettingsError
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, invoke, only, only_error, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SECRET = "sentinel-5d20"  # noqa: S105
VALID = {"api_secret": SECRET, "school_code": "school"}
EXPRESSION = " is not a valid expression: check quotes and brackets; compare with ==."
HASH = "sha256(config['salt'] + record.get('email')) if record.get('email') else None"


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """The simulator, for many short runs."""
    rows = {"events": 2, "users": 2, "members": 2}
    with Simulator(Dataset(rows, newest=NEWEST)) as simulator:
        yield simulator


def problem_of(stream_maps: Any, **settings: Any) -> str:
    """Return the line about the settings of a tap."""
    with pytest.raises(SettingsError) as caught:
        TapCampusGroups(config=VALID | {"stream_maps": stream_maps, **settings})
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert SECRET not in line
    assert caught.value.__cause__ is caught.value.__context__ is None
    return line.removeprefix("Invalid settings: ").replace("stream_maps.", "")


@pytest.mark.parametrize(
    ("stream_maps", "problem"),
    [
        # Names of streams and of options
        ({"user": {"email": None}}, "user matches no stream (did you mean users?)."),
        ({"user": None}, "user matches no stream (did you mean users?)."),
        ({"people*": {}}, "'people*' matches no stream."),
        ({"a": {"__source__": "Users"}}, "a matches no stream (did you mean users?)."),
        ({"a": {"__source__": None}}, "a matches no stream."),
        ({"__els__": None}, "__els__ is not an option: the only one is __else__, with null."),
        ({"__else__": {"x": SECRET}}, "__else__ is not an option: the only one is __else__, wi"),
        ({"__else__": SECRET}, "__else__ must be an object, or null to drop the stream."),
        ({"users": [SECRET]}, "users must be an object, or null to drop the stream."),
        ({"users": {"__filters__": "id"}}, "users.__filters__ is not an option of this map (did y"),
        ({"a": {"__source__": "users", "__alias__": "b"}}, "a.__alias__ is not an option of this"),
        ({"users": {"__else__": SECRET, "id": "id"}}, "users.__else__ must be null."),
        # Removals of fields
        ({"users": {"eMail": None}}, "users.eMail removes a field that does not exist (did you me"),
        ({"users": {"e_mail": "__NULL__"}}, "users.e_mail removes a field that does not exist"),
        ({"users": {"tags.name": None}}, "users.'tags.name' removes a field that does not exist"),
        ({"user*": {"a\nb": None}}, r"'user*'.'a\nb' removes a field that does not exist."),
        ({"*": {"emial": None}}, "'*'.emial removes a field that does not exist (did you mean em"),
        ({"a": {"__source__": "tags", "email": None}}, "a.email removes a field that does not ex"),
        # Expressions
        ({"users": {"email": f"md5('{SECRET}'"}}, f"users.email{EXPRESSION}"),
        ({"users": {"email": ""}}, f"users.email{EXPRESSION}"),
        ({"users": {"email": "\0"}}, f"users.email{EXPRESSION}"),
        ({"users": {"email": "(" * 9999}}, f"users.email{EXPRESSION}"),
        ({"users": {"email": "1\n2"}}, f"users.email{EXPRESSION}"),
        ({"users": {"__filter__": f"email = '{SECRET}'"}}, f"users.__filter__{EXPRESSION}"),
        ({"users": {"__filter__": "import os"}}, f"users.__filter__{EXPRESSION}"),
        ({"users": {"__filter__": [SECRET]}}, "users.__filter__ must be text."),
        ({"users": {"email": 7}}, "users.email must be text."),
        ({"users": {"a": "md5(emial)"}}, "users.a uses emial, which does not exist."),
        ({"users": {"a": "self"}}, "users.a uses self, which does not exist."),
        ({"users": {"__filter__": "status == null"}}, "users.__filter__ uses status, which does"),
        ({"users": {"a": "record['a b']"}}, "users.a uses the field 'a b', which does not exist."),
        ({"users": {"a": "_.get('x', 1)"}}, "users.a uses the field x, which does not exist."),
        ({"users": {"a": "config['x']"}}, "users.a uses x, which stream_map_config does not have."),
        # Keys
        ({"users": {"id": None}}, "users leaves out id, a key: set __key_properties__."),
        ({"users": {"__else__": None, "email": "email"}}, "users leaves out id, a key: set __ke"),
        ({"users": {"__key_properties__": ["uid", 7]}}, "users leaves out '7', uid, a key: set"),
        ({"users": {"__key_properties__": "id"}}, "users.__key_properties__ must be a list."),
        # Names of tables
        ({"users": {"__alias__": ""}}, f"users.__alias__{EXPRESSION}"),
        ({"users": {"__alias__": "a b"}}, f"users.__alias__{EXPRESSION}"),
        ({"users": {"__alias__": None}}, "users.__alias__ must be text."),
        ({"users": {"__alias__": "2024"}}, "stream_maps gives users an __alias__ that is not text"),
        ({"users": {"__alias__": "' '"}}, "stream_maps gives users an __alias__ that is not text"),
        (
            {"users": {"__alias__": "Members"}},
            "stream_maps writes members and users as members: give each a separate name.",
        ),
        (
            {"tags": {"__alias__": "'a'"}, "a": {"__source__": "users"}},
            "stream_maps writes tags and users as a: give each a separate name.",
        ),
        ({"r*ms": {}, "a": {"__source__": "r*s"}}, "stream_maps writes room_reservations and ro"),
        # Maps that replace each other
        (
            {"users": {"email": None}, "user*": {"_extra": None}},
            "'user*' replaces users for users, and has no rule for email: repeat it there.",
        ),
        (
            {"u*": {"bio": None}, "us*": {"id": "id"}, "users": {"bio": None}},
            "users replaces 'us*' for users, and has no rule for id: repeat it there.",
        ),
        ({"*": None, "users": {}}, "users replaces '*' for users, and has no rule for null: repea"),
        (
            {"users": {"a": "b", "c": "d", "e": None, "f": None}},
            (
                "users.a uses b, which does not exist; users.c uses d, which does not exist; "
                "users.e removes a field that does not exist; and 1 more."
            ),
        ),
    ],
    ids=lambda value: ascii(value)[:60] if isinstance(value, dict) else "",
)
def test_mistake_in_stream_maps_is_one_line_that_quotes_no_value(
    stream_maps: dict[str, Any], problem: str
) -> None:
    assert problem_of(stream_maps).startswith(problem)


@pytest.mark.parametrize(
    "stream_maps",
    [
        {"users": {"email": HASH, "_extra": "__NULL__", "bio": None}},
        {"*": {"_extra": None, "email": None}},
        {"*": {"_extra": None}, "users": {"_extra": None, "email": "md5(email)"}},
        {"user?": {"__alias__": "'cg_' + __stream_name__", "__filter__": "bool(id > 0)"}},
        {"users": {"__alias__": "first-users"}, "copy": {"__source__": "user?", "bio": None}},
        {"users": {"id": "id", "mail": "email", "__else__": "__NULL__"}, "__else__": None},
        {"users": {"id": None, "__key_properties__": []}, "stores": {"unknown": None}},
        {"users": {"id": None, "__key_properties__": None}},
        {"users": {"n": "[x['name'] for x in (tags or [])]", "email": "self", "b": "str(_)"}},
        {"users": {"a": "config.get('x', 1)", "b": "record.get('bio', '')", "bio": None}},
        {"users": None, "members": "__NULL__"},
        {"users": {}},
    ],
    ids=str,
)
def test_valid_stream_maps_run(
    service: Simulator, caplog: pytest.LogCaptureFixture, stream_maps: dict[str, Any]
) -> None:
    catalog = only("users", "members")
    for entry in catalog["streams"]:  # a deselected field is still a field
        off = {"breadcrumb": ["properties", "bio"], "metadata": {"selected": False}}
        entry["metadata"] = [
            *(one for one in entry["metadata"] if "bio" not in one["breadcrumb"]),
            off,
        ]
    settings = {"stream_maps": stream_maps, "stream_map_config": {"salt": "a salt of enough chars"}}
    before = str(stream_maps)
    assert sync(settings_for(service, **settings), catalog=catalog).error is None
    assert str(stream_maps) == before
    assert "is a new field" not in caplog.text


@pytest.mark.parametrize(
    ("rules", "similar"),
    [
        ({"eMail": "md5(email)"}, "email"),
        ({"first_name": "'x'"}, "firstName"),
        ({"emails": "'x'"}, "email"),
        ({"eMail": "email", "email": None}, None),
        ({"eMail": "email", "id": "id", "__else__": None}, None),
        ({"emailDomain": "email"}, None),
    ],
)
def test_new_field_that_resembles_one_is_a_warning(
    caplog: pytest.LogCaptureFixture, rules: dict[str, Any], similar: str | None
) -> None:
    TapCampusGroups(config=VALID | {"stream_maps": {"users": rules}})
    warnings = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert warnings == [
        f"stream_maps.users.{name} is a new field, and {similar} stays as it is: check the name."
        for name in [*rules][: similar is not None]
    ]


# faker

FAKER = """
class Faker:
    seed = classmethod(lambda cls, seed: None)

    def __init__(self, locale=None):
        if locale not in (None, "de_DE"):
            raise AttributeError(f"Invalid configuration for faker locale {locale}")

    def email(self):
        return "invented"
"""


def test_faker_is_needed_only_for_its_rules(
    service: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the package, which this project does not install."""
    maps = {"users": {"email": "fake.email()"}}
    needed = "needs the package faker: install tap-campusgroups[faker]"
    assert problem_of(maps) == f"users.email {needed}."
    assert problem_of(None, faker_config={"locale": "de_DE"}) == f"faker_config {needed}."
    (tmp_path / "faker.py").write_text(FAKER)
    monkeypatch.syspath_prepend(tmp_path)
    for one in (maps, None):
        assert problem_of(one, faker_config={"locale": SECRET}).startswith("faker_config is inva")
    config = settings_for(service, stream_maps=maps, faker_config={"locale": "de_DE", "seed": 1})
    assert {one["email"] for one in sync(config, "users").records["users"]} == {"invented"}


# Catalogs

NESTED = ("type.id", "type.name", "type.updatedOn")


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a catalog of one stream with changes by field, or by "" for the whole schema.

    A dictionary is merged into the definition, `None` removes the field, `False` deselects it.
    """
    catalog = only("events")
    (entry,) = catalog["streams"]
    schema, metadata = entry["schema"], entry["metadata"]
    for field, change in changes.items():
        if change is False:
            path = [part for name in field.split(".") for part in ("properties", name) if field]
            metadata[:] = [one for one in metadata if one["breadcrumb"] != path]
            metadata.append({"breadcrumb": path, "metadata": {"selected": False}})
        elif change is None:
            del schema["properties"][field]
        else:
            (schema["properties"][field] if field else schema).update(change)
    return catalog


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            dict.fromkeys(NESTED, False),
            (
                "selects type but none of its fields, so it would be empty in every row. Select "
                "type.*, too, or deselect type."
            ),
        ),
        *(
            ({field: change}, f"changes the type of {field} or restricts its values. Restore its")
            for field, change in (
                ("updatedOn", {"type": ["integer", "null"]}),
                ("updatedOn", {"type": "string"}),
                ("updatedOn", {"format": "date"}),
                ("updatedOn", {"maxLength": 10}),
                ("updatedOn", {"enum": ["2025"]}),
                ("_extra", {"type": ["string", "null"]}),
                ("_extra", {"type": ["object"]}),
                ("_extra", {"additionalProperties": False}),
                ("_extra", {"properties": {"a": {"type": ["string", "null"]}}}),
                ("_extra", {"anyOf": [{"maxLength": 3}]}),
            )
        ),
        ({"": {"required": ["name"]}}, "restricts whole rows with required, which a row may viol"),
        ({"": {"oneOf": [{}]}}, "restricts whole rows with oneOf, which a row may violate. Remo"),
        (
            {"": {"additionalProperties": False}, "updatedOn": None},
            "restricts whole rows with additionalProperties, which a row may violate. Remove it.",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_catalog_that_rows_would_violate_is_one_line_before_any_request(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    problem: str,
) -> None:
    service.reset_log()
    done = invoke(tmp_path, config=settings_for(service), catalog=changed(changes))
    assert (done.exit_code, done.stdout, service.requests) == (1, "", [])
    file = f"--catalog {tmp_path / 'catalog.json'}"
    assert only_error(caplog).startswith(f"Stream 'events': {file} {problem}")
    # A stream that is not selected may have any schema.
    output = sync(settings_for(service), catalog=changed(changes | {"": False}))
    assert str(output.error).startswith("No stream is selected")


@pytest.mark.parametrize(
    "changes",
    [
        {"type": False} | dict.fromkeys(NESTED, False),
        {"type.name": False},
        {"_extra": None},
        {"updatedOn": None},
        {"": {"additionalProperties": False, "required": ["id"]}},
        {"updatedOn": {"description": "changed"}, "name": {"enum": ["x"]}},
    ],
    ids=str,
)
def test_harmless_catalog_is_accepted(service: Simulator, changes: dict[str, Any]) -> None:
    output = sync(settings_for(service), catalog=changed(changes))
    assert output.error is None
    assert all(row.get("type") != {} for row in output.records["events"])


# The command line


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({"nam": None}, "Invalid settings: stream_maps.events.nam removes a field that does not"),
        (
            {"__key_properties__": ["name"]},  # a deselected field
            (
                "Stream 'events': the SDK cannot apply the settings (StreamMapConfigError). "
                "Correct stream_maps, faker_config or flattening."
            ),
        ),
    ],
)
def test_command_line_ends_with_one_line_before_any_request(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    rules: dict[str, Any],
    error: str,
) -> None:
    service.reset_log()
    config = settings_for(service, stream_maps={"events": rules})
    for more in ((), ("--test",)):
        caplog.clear()
        done = invoke(tmp_path, *more, config=config, catalog=changed({"name": False}))
        assert (done.exit_code, done.stdout, service.requests) == (1, "", [])
        assert only_error(caplog).startswith(error)
    # Meltano runs the discovery with the same settings.
    assert invoke(tmp_path, "--discover", config=config).exit_code == 0
