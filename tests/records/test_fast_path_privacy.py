"""Deselected, masked and removed values appear neither in the output nor in the log."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.contrib.msgspec import MsgSpecWriter

from tests.support.fast_path import (
    PAGES,
    ROWS,
    SENTINEL,
    Tap,
    assert_same_run,
    catalog_without,
    user_catalog,
)

if TYPE_CHECKING:
    from tests.simulator import Dataset


def hide(dataset: Dataset) -> None:
    """Put the sentinel into fields of all users, in every form that can be converted."""
    for row in dataset["users"]:
        row["bio"] = SENTINEL
        row["gender"] = {"id": 1, "name": SENTINEL}
    first, second, third, *_ = dataset["users"]
    first["gender"] = json.dumps(first["gender"])
    second["bio"] = {"text": SENTINEL}
    third["bio"] = [SENTINEL]


HIDDEN = [["bio"], ["gender", "name"]]
MASK = {
    "bio": "sha256(json.dumps(bio))",
    "gender": "sha256(json.dumps(gender))",
    "_extra": None,
}
HIDING_SETTINGS: dict[str, dict[str, Any]] = {
    "deselected": {"deselected": HIDDEN},
    "deselected with a map": {
        "deselected": HIDDEN,
        "stream_maps": {"users": {"id": "id"}},
    },
    "deselected and flattened": {
        "deselected": HIDDEN,
        "flattening_enabled": True,
        "flattening_max_depth": 1,
    },
    "deselected with SDK writer": {
        "deselected": HIDDEN,
        "writer": MsgSpecWriter(),
    },
    "masked": {"stream_maps": {"users": MASK}},
    "masked and renamed": {"stream_maps": {"users": MASK | {"__alias__": "people"}}},
    "masked by a pattern": {"stream_maps": {"use*": MASK}},
    "removed": {"stream_maps": {"users": {"bio": None, "gender": None, "_extra": None}}},
    "removed with __NULL__": {
        "stream_maps": {"users": {"bio": "__NULL__", "gender": "__NULL__", "_extra": "__NULL__"}}
    },
    "not mapped, __else__ null": {"stream_maps": {"users": {"id": "id", "__else__": None}}},
    "filtered": {"stream_maps": {"users": {"__filter__": "id > 100"}}},
    "stream not mapped, __else__ null": {"stream_maps": {"rooms": {"id": "id"}, "__else__": None}},
}


@pytest.mark.parametrize("how", HIDING_SETTINGS.values(), ids=HIDING_SETTINGS)
def test_hidden_value_is_in_neither_output_nor_log(tap: Tap, how: dict[str, Any]) -> None:
    plain = tap("users", prepare=hide)
    assert plain.pages == PAGES
    assert plain.text.count(SENTINEL) == 2 * ROWS
    more = {name: value for name, value in how.items() if name != "deselected"}
    catalog = catalog_without("users", *how.get("deselected", ()))
    hidden = tap(prepare=hide, catalog=catalog, **more)
    assert hidden.error is None
    assert not hidden.pages
    assert SENTINEL not in hidden.text
    assert SENTINEL not in hidden.log
    assert hidden.bookmarks == plain.bookmarks
    assert hidden.metrics == plain.metrics


@pytest.mark.parametrize("path", [["gender", "name"], ["gender", "id"]], ids=repr)
def test_deselected_value_of_wrong_type_is_in_neither_output_nor_log(
    tap: Tap, path: list[str]
) -> None:
    value = {path[-1]: SENTINEL}

    def prepare(dataset: Dataset) -> None:
        forms = [[value], json.dumps([value]), repr(value), {"id": 1} | value, json.dumps(value)]
        for row, form in zip(dataset["users"], forms, strict=True):
            row["gender"] = form

    hidden = tap(prepare=prepare, catalog=catalog_without("users", path))
    assert hidden.error is None
    assert len(hidden.records["users"]) == ROWS
    assert SENTINEL not in hidden.text
    assert SENTINEL not in hidden.log


def test_mask_hashes_value_as_written_on_fast_path(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        for number, row in enumerate(dataset["users"]):
            row["bio"] = [f"{SENTINEL}{number}", number, {"a": SENTINEL}, True, 1.50][number]

    plain = tap("users", prepare=prepare)
    masked = tap("users", prepare=prepare, stream_maps={"users": {"bio": "sha256(bio)"}})
    assert SENTINEL in plain.text
    assert SENTINEL not in masked.text
    for message in plain.of_type("RECORD"):
        message["record"]["bio"] = sha256(message["record"]["bio"].encode()).hexdigest()
    assert_same_run(plain, masked)


def test_field_missing_from_user_schema_is_in_neither_output_nor_log(tap: Tap) -> None:
    catalog = user_catalog("users", "id", "updatedOn", "email")
    fast = tap(prepare=hide, catalog=catalog)
    assert fast.pages == PAGES
    sdk = tap(prepare=hide, catalog=catalog, writer=MsgSpecWriter())
    assert_same_run(fast, sdk)
    for run in (fast, sdk):
        assert SENTINEL not in run.text
        assert SENTINEL not in run.log
