"""The map of joins, docs/joins.md, generated from the references in the schemas."""

from __future__ import annotations

import typing as t
from collections import defaultdict

from scripts.generate.reference import fields_of, schema_of, table_row
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS

if t.TYPE_CHECKING:
    from collections.abc import Iterator

_INTRODUCTION: t.Final = """\
# Joins

Which field refers to which stream. This page is generated from the schemas by `make generate`; do
not edit it.

Each field in the [table](#all-references) holds the `id` of a row in another stream. `a.b` is the
field `b` of the object `a`, and `a[].b` is that field of each object in the array `a`. The API does
not enforce references: the other row may be deleted, older than `start_date`, or not yet in the
data lake. Use `LEFT JOIN`.

## Before you join

- **Who came is `checkins.checkedinUserId`.** `checkins.userId` is presumably the person who
  scanned, and is text: cast it.
- **`rsvp.memberId` refers to `members` or to `users`**: the API does not document which. Compare
  both with your data before you use it.
- **Fields marked *presumed*** are not documented as references. Their names and the vendor's
  examples suggest them.
- **Lists of ids.** `budgets.budgetAdmins` is an array. `events.cohostingGroupIds` and
  `events.parentEventIds` are text, presumably with commas between the ids: split it first.
- **Fields that depend on another field.** `typeId` of `announcements` and `feed_posts` and
  `contentTypeId` of `survey_submissions` refer to what `type` or `contentType` names.
- **Labels.** The `id` in objects such as `type` or `status` identifies a label, not a row of a
  stream. Only labels listed in the table refer to `tags`.
- **Deleted rows stay** in the tables. Filter both sides: see [Deleted rows](deleted-rows.md).
"""

DIAGRAMS: t.Final = {
    "Events and payments": (
        *("events", "rsvp", "checkins", "payments", "event_registration_options"),
        *("rooms", "room_reservations"),
    ),
    "People and groups": ("users", "groups", "members", "academic_experiences", "work_experiences"),
    "Money": ("budgets", "budget_transactions", "stores", "store_products"),
    "Surveys, tracks and badges": (
        *("surveys", "survey_submissions", "tracks", "checklists", "checklist_items"),
        *("badges", "badge_completions"),
    ),
    "Posts, announcements and tags": (
        *("feed_posts", "announcements", "announcement_recipients", "tags"),
    ),
}
"""Streams by diagram; each stream's references are drawn in one of them."""


class Reference(t.NamedTuple):
    """A field that holds the `id` of a row in another stream."""

    stream: str
    path: str
    target: str
    is_presumed: bool
    description: str


def references() -> list[Reference]:
    """Return all references, in the order of streams and fields."""
    return [
        Reference(
            *(stream, path, field["x-references"]),
            is_presumed="x-presumed" in field,
            description=field["description"],
        )
        for stream in STREAMS[max(ApiVersion)]
        for path, field in fields_of(schema_of(stream))
        if "x-references" in field
    ]


def text() -> str:
    """Return the page as Markdown."""
    found = references()
    return "\n".join(
        [
            _INTRODUCTION,
            "## Diagrams",
            *(line for title, streams in DIAGRAMS.items() for line in _diagram(title, streams)),
            "",
            "## All references",
            "",
            table_row(["stream", "field", "refers to", "meaning"]),
            table_row(["---"] * 4),
            *(
                table_row(
                    [
                        f"[`{one.stream}`](streams.md#{one.stream})",
                        f"`{one.path}`",
                        f"`{one.target}`{' (presumed)' * one.is_presumed}",
                        one.description,
                    ]
                )
                for one in found
            ),
            "",
        ]
    )


def _diagram(title: str, streams: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of an entity relationship diagram, which GitHub draws, light or dark."""
    edges: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in references():
        if one.stream in streams:
            edges[one.target, one.stream].append(one.path + "?" * one.is_presumed)
    yield from ("", f"### {title}", "", "```mermaid", "erDiagram")
    for (target, stream), paths in edges.items():
        yield f'    {target} |o--o{{ {stream} : "{", ".join(paths)}"'
    yield "```"
