"""docs/troubleshooting.md lists every message of the tap exactly once, and no other message."""

from __future__ import annotations

import ast
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exports.response import ResponseKind
from tests.support import documents
from tests.support.harness import sync

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = "docs/troubleshooting.md"
GAP = "…"
"""Placeholder for a value, in the guide and in the texts of the code."""

SOURCES = [
    path.read_text(encoding="utf-8")
    for path in sorted((documents.ROOT / "tap_campusgroups").rglob("*.py"))
]
MESSAGE = re.compile(r"\w*Error|_fail|\w*logger\.\w+")
"""Calls that take a message."""

TEXT = (ast.Constant, ast.JoinedStr, ast.BinOp)


def texts(source: str) -> Iterator[str]:
    """Yield the texts of a module's log calls and errors, also those in a variable."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func, args) if MESSAGE.fullmatch(ast.unparse(func).split("self.")[-1]):
                found = args
            case ast.Assign([ast.Name("message" | "msg")], value):
                found = [value]
            case _:
                continue
        for one in found:
            text = without_values(ast.unparse(one))
            if isinstance(one, TEXT) and re.search(r"[a-z]{2} [a-z]", text):
                yield text


def without_values(code: str) -> str:
    """Return code with `GAP` for every value in its texts."""
    return re.sub(r"\{[^{}]*\}|%[\d.]*[sdf]", GAP, code)


def table_rows(heading: str) -> Iterator[list[str]]:
    """Yield the rows of all tables under a heading of the second level."""
    for line in documents.section(PAGE, heading).splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


LISTED = [
    [phrase.strip(f"{GAP} ") for phrase in phrases]
    for heading in ("Messages that need action", "Informational messages")
    for row in table_rows(heading)
    if (phrases := re.findall("`([^`]+)`", row[0]))
]
"""The phrases of each row."""

NO_REASONS = ("ACCEPTED", "QUEUED", "RUNNING", "PAGE", "DENIED")
"""Kinds of responses that are not listed as a reason."""

MESSAGES = sorted(
    {
        *(text for source in SOURCES for text in texts(source)),
        *(kind.value for kind in ResponseKind if kind.name not in NO_REASONS),
    }
)


@pytest.mark.parametrize("message", MESSAGES)
def test_message_of_the_tap_is_listed_once(message: str) -> None:
    rows = [row for row in LISTED if any(phrase in message for phrase in row)]
    assert len(rows) == 1, f"{PAGE} must list {message!r} once: {rows}"


def test_listed_phrases_are_in_the_code() -> None:
    joined = re.sub(r"""["']\s*(?:#.*\n\s*)?f?["']""", "", "\n".join(SOURCES))
    code = without_values(joined)
    phrases = [phrase for row in LISTED for phrase in row]
    assert len(phrases) > 60
    assert [phrase for phrase in phrases if phrase not in code] == []


def test_every_exit_code_is_listed() -> None:
    codes = [row[0] for row in table_rows("Exit codes")]
    assert codes == ["exit code", "0", "1", "2", "129", "130", "143"]


def test_every_figure_of_the_summary_is_listed(
    config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert sync(config, "tags").error is None
    (summary,) = (one for one in caplog.records if one.getMessage().startswith("Summary:"))
    known = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
    names = [row[0].strip("`") for row in table_rows("Monitoring")]
    at = names.index("field of a stream")
    assert set(names[1:at]) == vars(summary).keys() - known
    assert names[at + 1 :] == list(vars(summary)["streams"][0])
