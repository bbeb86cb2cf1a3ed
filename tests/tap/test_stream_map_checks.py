"""Mistakes in stream maps and in a catalog's selection and schemas: one line, no request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import CampusGroupsError
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, invoke, only, only_error, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SECRET = "sentinel-5d20"  # noqa: S105
SETTINGS: dict[str, Any] = {"api_secret": SECRET, "school_code": "school"}
INVALID = " is not a valid expression: check quotes and brackets; compare with ==."
NO_FIELD = " removes a field that does not exist"
HASH = "sha256(config['salt'] + record.get('email')) if record.get('email') else None"


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """The simulator, for many short runs."""
    rows = {"events": 2, "users": 2, "members": 2}
    with Simulator(Dataset(rows, newest=NEWEST)) as simulator:
        yield simulator


def line_of(stream_maps: Any = None, catalog: Any = None, **settings: Any) -> str:
    """Return the one line about the settings or the catalog of a tap."""
    with pytest.raises(CampusGroupsError) as caught:
        TapCampusGroups(config=SETTINGS | {"stream_maps": stream_maps, **settings}, catalog=catalog)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert SECRET not in line
    assert caught.value.__context__ is None  # an error of the SDK quotes values
    return line.removeprefix("Invalid settings: ").replace("stream_maps.", "")


def users(**rules: Any) -> dict[str, Any]:
    """Return a stream map of one stream."""
    return {"users": rules}


MISTAKES: list[tuple[Any, str]] = [
    # Names of streams and of options
    ({"user": None}, "user matches no stream (did you mean users?)."),
    ({"people*": {}}, "'people*' matches no stream."),
    ({"a": {"__source__": "Users"}}, "a matches no stream (did you mean users?)."),
    ({"a": {"__source__": None}}, "a matches no stream."),
    ({"__els__": None}, "__els__ is not an option: the only one is __else__, with null."),
    ({"__else__": {"x": SECRET}}, "__else__ is not an option: the only one is __else__, with"),
    ({"__else__": SECRET}, "__else__ must be an object, or null to drop the stream."),
    ({"users": [SECRET]}, "users must be an object, or null to drop the stream."),
    (users(__filters__="id"), "users.__filters__ is not an option of this map (did you mean __fil"),
    ({"a": {"__source__": "users", "__alias__": "b"}}, "a.__alias__ is not an option of this map"),
    (users(__else__=SECRET, id="id"), "users.__else__ must be null."),
    # Removals of fields
    (users(eMail=None), f"users.eMail{NO_FIELD} (did you mean email?)."),
    (users(e_mail="__NULL__"), f"users.e_mail{NO_FIELD} (did you mean email?)."),
    ({"user*": {"a\nb": None}}, rf"'user*'.'a\nb'{NO_FIELD}."),
    ({"*": {"emails": None}}, f"'*'.emails{NO_FIELD} (did you mean email?)."),
    ({"a": {"__source__": "tags", "email": None}}, f"a.email{NO_FIELD}."),
    # Expressions
    *((users(email=text), f"users.email{INVALID}") for text in ("", "\0", "(" * 9999, "1\n2")),
    (users(email=f"md5('{SECRET}'"), f"users.email{INVALID}"),
    (users(__filter__=f"email = '{SECRET}'"), f"users.__filter__{INVALID}"),
    (users(__filter__=[SECRET]), "users.__filter__ must be text."),
    (users(email=7), "users.email must be text."),
    (users(a="md5(emails)"), "users.a uses emails, which does not exist."),
    (users(a="self"), "users.a uses self, which does not exist."),
    (users(__filter__="status == null"), "users.__filter__ uses status, which does not exist; us"),
    (users(a="record['a b']"), "users.a uses the field 'a b', which does not exist."),
    (users(a="_.get('x', 1)"), "users.a uses the field x, which does not exist."),
    (users(a="config['x']"), "users.a uses x, which stream_map_config does not have."),
    (users(email="sha256"), "users.email uses sha256 without brackets: call it, as in sha256(...)"),
    (users(a="'\\ud800'"), f"users.a{INVALID}"),
    ({"users": {"\ud800": "id"}}, r"users.'\ud800' is not valid Unicode."),
    ({"*": {"a": "md5(email) if email else None"}}, "'*'.a uses email, which academic_experience"),
    # Filters
    *(
        (users(__filter__=text), "users.__filter__ is the same for every row: compare a field, or")
        for text in ("0", "'not deactivated'", "(id == 1,)", "[id == 1]", "id == 3 or 4", "f'{id}'")
    ),
    (
        users(__filter__="deactivated == 'false'"),
        "users.__filter__ compares deactivated with a value that is not a boolean.",
    ),
    (users(__filter__="'3' != record['id']"), "users.__filter__ compares id with a value that is "),
    (
        {"*": {"__filter__": "record.get('deleted') == 0"}},
        "'*'.__filter__ uses the field deleted, which groups does not have or deselects.",
    ),
    # Keys
    (users(id=None), "users leaves out id, a key: add a rule, or set __key_properties__."),
    (
        users(__else__=None, email="email"),
        "users leaves out id, a key: add a rule, or set __key_properties__.",
    ),
    (users(__key_properties__=["uid", 7]), "users leaves out '7', uid, a key: add a rule, o"),
    (users(__key_properties__="id"), "users.__key_properties__ must be a list."),
    # Names of tables
    *((users(__alias__=text), f"users.__alias__{INVALID}") for text in ("", "a b")),
    (users(__alias__=None), "users.__alias__ must be text."),
    *(
        (users(__alias__=text), "stream_maps gives users an __alias__ that is not text: add quotes")
        for text in ("2024", "' '")
    ),
    *(
        (users(__alias__=text), "stream_maps gives users an __alias__ that is not a name or whose")
        for text in ("config['p'] + '_users'", "__original_stream_name__", "'a\\nb'", "'u' * 300")
    ),
    (
        users(__alias__="cg-people") | {"members": {"__alias__": "People"}},
        "stream_maps writes member",
    ),
    (users(__alias__="Members"), "stream_maps writes members and users as members: give each a s"),
    (users() | {"USERS": {"__source__": "users"}}, "stream_maps writes users and users as users: "),
    ({"a": {"__source__": "r*s"}}, "stream_maps writes room_reservations and rooms as a: give ea"),
    # Maps that replace each other
    (
        users(email=None) | {"user*": {"_extra": None}},
        "'user*' replaces users for users, and has no rule for email: repeat it there.",
    ),
    (
        {"u*": {"bio": None}, "us*": {"id": "id"}} | users(bio=None),
        "users replaces 'us*' for users, and has no rule for id: repeat it there.",
    ),
    (
        {"user*": {"bio": None, "__else__": None, "id": "id"}} | users(id="id"),
        "users replaces 'user*' for users, and has no rule for __else__, bio: repeat it there.",
    ),
    (
        users() | {"*": None},
        "'*' drops users, so users does nothing for it: put the map to apply last.",
    ),
    # More than three
    (
        users(**dict.fromkeys("abcde")),
        f"users.a{NO_FIELD}; users.b{NO_FIELD}; users.c{NO_FIELD}; and 2",
    ),
]


@pytest.mark.parametrize(
    ("stream_maps", "problem"), MISTAKES, ids=[f"{number}" for number in range(len(MISTAKES))]
)
def test_mistake_in_stream_maps_is_one_line_that_quotes_no_value(
    stream_maps: dict[str, Any], problem: str
) -> None:
    assert line_of(stream_maps).startswith(problem)


@pytest.mark.parametrize(
    "stream_maps",
    [
        users(email=HASH, _extra="__NULL__", bio=None),
        {"*": {"_extra": None}} | users(_extra=None, email="md5(email)"),
        {"user?": {"__alias__": "'cg_' + __stream_name__", "__filter__": "bool(id > 0)"}},
        users(__alias__="first-users") | {"copy": {"__source__": "user?", "bio": None}},
        users(id="id", mail="email", __else__="__NULL__") | {"__else__": None},
        users(id=None, __key_properties__=None) | {"stores": {"unknown": None}},
        users(tags="[_['label'] for _ in (tags and [])]", email="self", b="str(_)"),
        users(a="str(config.get('x', 1))", b="record.get('bio', '')", bio=None),
        users(emailDomain="email", eMail="email", email=None) | {"members": "__NULL__"},
        users(eMail="email", id="id", __else__=None) | {"members": None},
        {"*": None} | users() | {"members": {"a": "str(id)"}},
        {"*": {"email": None}} | users(email="email") | {"members": {"a": "str(id)"}},
        {"*": {"__filter__": "id > 0"}}
        | users(__filter__=None)
        | {"members": {"__filter__": "True"}},
        users(__loaded_at="str(datetime.datetime.now())"),
        users(__alias__="tags") | {"members": {"__alias__": "surveys"}},  # not selected
    ],
    ids=str,
)
def test_valid_stream_maps_run_without_a_warning(
    service: Simulator, caplog: pytest.LogCaptureFixture, stream_maps: dict[str, Any]
) -> None:
    catalog = only("users", "members")
    for entry in catalog["streams"]:  # a deselected field is still a field
        entry["metadata"] = [one for one in entry["metadata"] if "bio" not in one["breadcrumb"]]
        off = {"breadcrumb": ["properties", "bio"], "metadata": {"selected": False}}
        entry["metadata"].append(off)
    settings = {"stream_maps": stream_maps, "stream_map_config": {"salt": "a salt of enough chars"}}
    before = str(stream_maps)
    assert sync(settings_for(service, **settings), catalog=catalog).error is None
    assert str(stream_maps) == before
    assert "is a new field" not in caplog.text


@pytest.mark.parametrize("name", ["eMail", "e_mail", "emails"])
def test_new_field_that_resembles_one_is_a_warning(
    caplog: pytest.LogCaptureFixture, name: str
) -> None:
    TapCampusGroups(config=SETTINGS | {"stream_maps": users(**{name: "md5(email)"})})
    warning = f"stream_maps.users.{name} is a new field, and email stays as it is: check the name."
    assert caplog.messages.count(warning) == 1


FAKER = """
class Faker:
    seed = classmethod(lambda cls, seed: None)
    email = lambda self: "invented"

    def __init__(self, locale=None):
        if locale not in (None, "de_DE"):
            raise AttributeError(f"Invalid configuration for faker locale {locale}")
"""
"""A stand-in for the package, which this project does not install."""


def test_faker_is_needed_only_for_its_rules(
    service: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = users(email="fake.email()")
    needed = "needs the package faker: install tap-campusgroups[faker]."
    assert line_of(maps) == f"users.email {needed}"
    assert line_of(faker_config={"locale": "de_DE"}) == f"faker_config {needed}"
    (tmp_path / "faker.py").write_text(FAKER)
    monkeypatch.syspath_prepend(tmp_path)
    for one in (maps, None):
        assert line_of(one, faker_config={"locale": SECRET}).startswith("faker_config is invalid")
    config = settings_for(service, stream_maps=maps, faker_config={"locale": "de_DE", "seed": 1})
    assert {one["email"] for one in sync(config, "users").records["users"]} == {"invented"}


def test_fields_with_one_flattened_name_are_an_error() -> None:
    flat = {"flattening_enabled": True, "flattening_max_depth": 1, "flattening_max_key_length": 12}
    line = "two fields of a stream get the same column (payments); raise flattening_max_key_length."
    assert line_of(catalog=only("payments"), **flat) == line


# Catalogs

NESTED = dict.fromkeys(("type.id", "type.name", "type.updatedOn"), False)
SELECTS = (
    "selects type but none of its fields, so it would be empty in every row. Select type.*, to"
)


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
        (NESTED, SELECTS),
        ({"id": False}, "deselects id, a key. Select it."),
        ({"updatedOn": {"type": ["integer", "null"]}}, "changes the type of updatedOn or restric"),
        ({"updatedOn": {"type": "string"}}, "changes the type of updatedOn or restricts its val"),
        ({"updatedOn": {"format": "date"}}, "changes the type of updatedOn or restricts its val"),
        ({"updatedOn": {"maxLength": 10}}, "changes the type of updatedOn or restricts its value"),
        ({"updatedOn": {"enum": ["2025"]}}, "changes the type of updatedOn or restricts its val"),
        ({"_extra": {"type": ["string", "null"]}}, "changes the type of _extra or restricts its "),
        ({"_extra": {"type": ["object"]}}, "changes the type of _extra or restricts its values. "),
        ({"_extra": {"additionalProperties": False}}, "changes the type of _extra or restricts i"),
        ({"_extra": {"properties": {"a": {}}}}, "changes the type of _extra or restricts its val"),
        (
            {"name": {"enum": ["x"]}},
            "does not allow null in name. Add null to its type and values.",
        ),
        ({"capacity": {"type": "integer"}}, "does not allow null in capacity. Add null to its"),
        ({"": {"type": "string"}}, "has a schema whose type is not object. Correct it."),
        ({"id": None}, "restricts whole rows with required, which a row may violate. Remove it."),
        ({"": {"required": ["name"]}}, "restricts whole rows with required, which a row may viol"),
        ({"": {"oneOf": [{}]}}, "restricts whole rows with oneOf, which a row may violate. Remov"),
        (
            {"": {"additionalProperties": False}, "updatedOn": None},
            "restricts whole rows with additionalProperties, which a row may violate. Remove it.",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_catalog_that_rows_would_violate_is_one_line(changes: dict[str, Any], problem: str) -> None:
    assert line_of(catalog=changed(changes)).startswith(f"Stream 'events': catalog {problem}")
    # A stream that is not selected may have any schema.
    TapCampusGroups(config=SETTINGS, catalog=changed(changes | {"": False}))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": False} | NESTED,
        {"type.name": False},
        {"_extra": None, "updatedOn": None},
        {"updatedOn": False},
        {"": {"additionalProperties": False, "required": ["id"]}},
        {"updatedOn": {"description": "changed"}, "name": {"enum": ["x", None]}},
        {"_extra": {"additionalProperties": True, "default": None}},
        {"": {"deprecated": True, "default": {}, "examples": [{}], "x-note": "a stream of events"}},
    ],
    ids=str,
)
def test_harmless_catalog_is_accepted(service: Simulator, changes: dict[str, Any]) -> None:
    output = sync(settings_for(service), catalog=changed(changes))
    assert output.error is None
    assert all(row.get("type") != {} for row in output.records["events"])


@pytest.mark.parametrize(
    ("rules", "changes", "error"),
    [
        (
            {"names": None},
            {},
            f"Invalid settings: stream_maps.events.names{NO_FIELD} (did you mean",
        ),
        (
            {"__key_properties__": ["name"]},
            {"name": False},  # an error of the SDK
            "Invalid settings: the SDK cannot apply the settings to events (StreamMapConfig",
        ),
        ({}, NESTED, "Stream 'events': --catalog "),
    ],
    ids=["stream map", "SDK", "catalog"],
)
def test_command_line_ends_with_one_line_before_any_request(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    rules: dict[str, Any],
    changes: dict[str, Any],
    error: str,
) -> None:
    service.reset_log()
    config = settings_for(service, stream_maps={"events": rules})
    for more in ((), ("--test",)):
        caplog.clear()
        done = invoke(tmp_path, *more, config=config, catalog=changed(changes))
        assert (done.exit_code, done.stdout, service.requests) == (1, "", [])
        assert only_error(caplog).startswith(error)
    # Meltano runs the discovery with the same settings.
    assert invoke(tmp_path, "--discover", config=config).exit_code == 0


# Rows


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"id": "md5(str(id))", "__key_properties__": ["id"]}, "id, which is declared as integer"),
        ({"a": "id + 1"}, "a, which is declared as string. Wrap the whole expression in int(...)."),
        (
            {"a": "id > 3"},
            "a, which is declared as string. Wrap the whole expression in bool(...).",
        ),
        (
            {"gender": "[1]"},
            "gender, which is declared as object. Wrap the whole expression in str(",
        ),
    ],
)
def test_value_of_another_type_than_its_column_fails_the_stream(
    service: Simulator, rules: dict[str, Any], problem: str
) -> None:
    """The SDK declares the type of a mapped field without looking at its values."""
    output = sync(settings_for(service, stream_maps=users(**rules)), "users", "members")
    assert f"a stream map returns a value of another type for {problem}" in str(output.error)
    assert len(output.records["members"]) == 2
    cast = {name: f"str({rule})" for name, rule in rules.items() if name[0] != "_"}
    output = sync(settings_for(service, stream_maps=users(**(rules | cast))), "users")
    assert output.error is None
    assert len(output.records["users"]) == 2


@pytest.mark.parametrize(("rule", "left"), [("id > 99", 0), ("id == 1", 1), ("id > 0", 2)])
def test_filter_that_drops_all_rows_is_a_warning(
    service: Simulator, caplog: pytest.LogCaptureFixture, rule: str, left: int
) -> None:
    caplog.set_level(logging.DEBUG)
    output = sync(settings_for(service, stream_maps=users(__filter__=rule)), "users")
    assert len(output.records.get("users", [])) == left
    assert f"Stream completed: stream=users records={left} " in caplog.text
    dropped = "Stream 'users': stream maps dropped all 2 rows. Check __filter__"
    assert (dropped in caplog.text) is (left == 0)


def test_mistakes_of_streams_that_are_not_selected_do_not_matter(service: Simulator) -> None:
    catalog = only("users")
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] != "users":
            entry["schema"] = {"type": 5, "properties": {"id": {"type": 5}}}
    flat = {"flattening_enabled": True, "flattening_max_depth": 1, "flattening_max_key_length": 12}
    maps = {"*": {"__key_properties__": ["id", "email"]}}
    output = sync(settings_for(service, stream_maps=maps, **flat), catalog=catalog)
    assert output.error is None
    assert len(output.records["users"]) == 2
