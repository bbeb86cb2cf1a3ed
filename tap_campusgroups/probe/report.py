"""The result of a probe as a table for the terminal, as JSON and as Markdown."""

from __future__ import annotations

import os
import typing as t
from importlib import metadata
from pathlib import Path

from tap_campusgroups.exceptions import InputError
from tap_campusgroups.exports.service_monitor import utc_now
from tap_campusgroups.probe.assumptions import ASSUMPTIONS, Result, listed, result
from tap_campusgroups.records.json_codec import format_json

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_campusgroups.probe.client import ProbeClient

_TITLE: t.Final = "# Probe of the CampusGroups Data Export API\n"
_BEGIN: t.Final = '{"probe": '
_COLUMNS: t.Final = ("result", "name", "assumption", "source", "seen")


class Report:
    """The files of a probe: JSON, and Markdown beside it. Both are replaced as a whole."""

    def __init__(self, path: str) -> None:
        """Check that the files can be written and are not other ones."""
        self.path = Path(path)
        self._markdown = self.path.with_suffix(".md")
        if self.path.suffix != ".json":
            _fail(path, "the name must end with .json")
        for file, begin in ((self.path, _BEGIN), (self._markdown, _TITLE)):
            try:
                if file.exists() and not file.read_bytes().startswith(begin.encode()):
                    _fail(str(file), "another file has this name")
            except OSError as error:
                _fail(str(file), str(error.strerror))
        if not os.access(self.path.parent, os.W_OK):
            _fail(path, "the folder does not exist or cannot be written")

    def write(self, contents: dict[str, t.Any]) -> None:
        """Write the result so far."""
        text = format_json(contents)
        for file, content in ((self.path, f"{text}\n"), (self._markdown, markdown(contents))):
            try:
                temporary = file.with_name(f"{file.name}.tmp")
                temporary.write_text(content, encoding="utf-8")
                temporary.replace(file)
            except OSError as error:
                _fail(str(file), str(error.strerror))


def _fail(path: str, reason: str) -> t.NoReturn:
    msg = (
        f"--report {path}: {reason}. Use the name of a new file, such as probe.json, in a folder "
        "that can be written."
    )
    raise InputError(msg)


def contents(client: ProbeClient, *, ended: str) -> dict[str, t.Any]:
    """Return the result so far, without any value of a row, the school or its address."""
    found = [(one, one.judge(client)) for one in ASSUMPTIONS]
    return {
        "probe": f"tap-campusgroups {metadata.version('tap-campusgroups')}",
        "date": f"{utc_now():%Y-%m-%d}",
        "ended": ended,
        "requests": client.requests,
        "assumptions": [
            {
                "result": result(finding).value,
                "name": one.name,
                "assumption": one.text,
                "source": one.source,
                "seen": finding[1],
            }
            for one, finding in found
        ],
        "exports": [
            {
                "export": one.name,
                "stream": one.stream,
                "statuses": [one.parsed.status for one in one.exchanges],
                "seconds_queued": round(one.queued, 1),
                "seconds_running": round(one.running, 1),
                "rows": len(one.page.rows) if one.page else None,
                "more_pages": one.page is not None and not one.is_complete,
            }
            for one in client.exports.values()
        ],
        "streams": {name: one.report() for name, one in client.surveys.items()},
    }


def counts(contents: dict[str, t.Any]) -> str:
    """Return how many assumptions have which result: `agrees: 38, differs: 1, not seen: 3`."""
    results = [one["result"] for one in contents["assumptions"]]
    return ", ".join(f"{one}: {results.count(one)}" for one in Result)


def table(contents: dict[str, t.Any]) -> str:
    """Return the assumptions as a table for the terminal, differences first."""
    order = [Result.DIFFERS, Result.AGREES, Result.NOT_SEEN]
    found = sorted(contents["assumptions"], key=lambda one: order.index(one["result"]))
    rows = [_COLUMNS, *([one[name] for name in _COLUMNS] for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS) - 1)]
    return "\n".join(
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def markdown(contents: dict[str, t.Any]) -> str:
    """Return the result as Markdown."""
    lines = [
        _TITLE,
        f"{', '.join(contents[name] for name in ('probe', 'date', 'ended'))}.",
        f"{counts(contents)}.\n",
        *_table(_COLUMNS, ([one[name] for name in _COLUMNS] for one in contents["assumptions"])),
    ]
    if exports := contents["exports"]:
        lines += ["", *_table(list(exports[0]), (list(one.values()) for one in exports))]
    for stream, survey in contents["streams"].items():
        rows = ([name, *map(listed, one.values())] for name, one in survey["fields"].items())
        columns = ("field", "forms", "patterns")
        lines += ["", f"{stream}: {survey['rows']} rows\n", *_table(columns, rows)]
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[t.Any]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in cells]
