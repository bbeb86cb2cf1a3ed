"""The page about loaders, docs/targets.md, generated from the results of `make targets`."""

from __future__ import annotations

import json
import tomllib
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    Result: t.TypeAlias = dict[str, t.Any]

_FOLDER: t.Final = Path(__file__).parents[2] / "tests" / "loaders"

_INTRODUCTION: t.Final = """\
# Targets

What Singer targets make of this tap's output, measured: `make targets` pipes the same two nights of
all streams into each target and compares every stored value with the tap's records. This page is
generated from [its results](../tests/loaders/results.json) by `make generate`; do not edit it.

- [Recommended](#recommended)
- [Targets that change data](#targets-that-change-data)
- [Targets that fail](#targets-that-fail)
- [Not measured](#not-measured)
- [All results](#all-results)
- [Measure a target](#measure-a-target)

> **Names mislead.** `target-postgres` 1.1.3, `target-csv` 0.3.0 and `target-sqlite` 0.2.0 on PyPI
> are other, old packages, not those of MeltanoLabs, although the commands have the same names.
> Install the package that the table names.
"""

_MEASURED: t.Final = """
## Measure a target

```sh
make targets                                   # all of them: hours, and packages from PyPI
make targets NAMES="target-jsonl target-csv"   # those whose names contain one of these
make generate                                  # writes this page
```

The list is [loaders.toml](../tests/loaders/loaders.toml). Each target is installed in
`.build/loaders`, in a separate environment. PostgreSQL, S3 (moto), ClickHouse (chdb) and a
stand-in for Stitch's API run on loopback. A target whose Python or server is missing is skipped
with the reason.

The rows have hard values: decimals with many digits, also nested; 64-bit integers; control
characters; text of 100 kB; empty text and nulls; date-times with and without an offset; the years
1 and 9999; new fields. One stream is empty. The second night has an overlap, changed and new
rows, and a row in two versions. Separate inputs have a NUL character, a line that is cut in the
middle, two full reads with ACTIVATE_VERSION, and many rows of events for speed and memory.
"""

_CONFIRMED: t.Final = 5
"""Rows before the STATE of the input that is cut."""

_KINDS: t.Final = {
    "number": "decimals",
    "integer": "integers",
    "boolean": "booleans",
    "date-time": "date-times",
    "date": "dates",
    "nested": "nested values",
    "_extra": "`_extra`",
    "text": "text",
    "control characters": "text with control characters",
    "empty text": "empty text",
    "null": "nulls",
}

_TERMS: t.Final = {
    "upsert": "One row per `id`, the newest.",
    "append": "All rows of all runs: select the newest `updatedOn` for each `id`.",
    "double": "A 64-bit floating-point number: 15 to 17 digits are right.",
    "naive UTC": "A timestamp without a time zone, in UTC. No loss if readers know it.",
    "labelled UTC": "A date-time without an offset became one in UTC, which it is not.",
    "JSON text": "Text that holds the value as JSON, exact.",
    "Python literal": "Text in Python's notation, such as `{'fee': Decimal('0.10')}`.",
    "separate table": "An array became rows of another table. These are not compared.",
    "marks, deletes": "What ACTIVATE_VERSION does with rows that a full read lacks.",
}

_COLUMNS: t.Final = (
    *("number", "nested", "_extra", "date-time", "date"),
    *("control characters", "empty text", "null"),
)
"""Kinds of values with a column in the table of all results."""

_FORMS: t.Final = {
    "naive UTC": "Date-times are in UTC, without a time zone",
    "same instant, other text": "Date-times are written in another form",
    "date with 00:00": "Dates get a time of 00:00",
    "null is empty text": "Null is empty text",
    "JSON text": "Nested values are JSON text",
}

_HARMLESS_NUL: t.Final = {"exact", "NUL is U+FFFD"}

_SETTINGS: t.Final = {
    "default": "default",
    "text": "`nested_values: text` and `decimals: text`",
}


def text() -> str:
    """Return the page as Markdown."""
    listed = tomllib.loads((_FOLDER / "loaders.toml").read_text(encoding="utf-8"))["loader"]
    results = json.loads((_FOLDER / "results.json").read_text(encoding="utf-8"))
    entries = [one | results.get(one["name"], _unmeasured(one)) for one in listed]
    groups: dict[str, list[Result]] = {"good": [], "changes": [], "fails": [], "not run": []}
    for entry in entries:
        groups[_group(entry)].append(entry)
    return "\n".join(
        [
            _INTRODUCTION,
            *_recommended(groups["good"]),
            *_changing(groups["changes"]),
            *_failing(groups["fails"]),
            *_not_run(groups["not run"]),
            *_all_results(entries),
            _MEASURED,
        ]
    )


def _unmeasured(listed: Result) -> Result:
    return {"tap": {"default": {"not_run": listed.get("not_run", "not measured yet")}}}


def _group(entry: Result) -> str:
    found = list(entry["tap"].values())
    if all("not_run" in one for one in found):
        return "not run"
    if any(not _problems(one) for one in found) and not entry.get("avoid"):
        return "good"
    return "fails" if all("error" in one for one in found) else "changes"


def _problems(result: Result) -> list[str]:
    """Return what a target loses or changes, and how it fails."""
    if "not_run" in result:
        return [f"not run here: {result['not_run']}"]
    if "error" in result:
        failing = result["fails_on"]
        names = ", ".join(failing) or "a combination of values"
        what = "every row" if "ordinary rows" in failing else names
        return [f"stops at {what}: `{result['error']}`"]
    rows, values = result["rows"], result["values"]
    (lost, _), (sent, _) = rows["lost"], rows["sent"]
    states = result["states"]
    problems = {
        rows["mode"]: rows["mode"] not in {"upsert", "append"},
        f"{lost:,} of {sent:,} rows lost": lost,
        f"{rows['surplus'][-1]:,} rows too many": rows["surplus"][-1],
        **{
            f"{name}: {_counts(values[kind])}": True
            for kind, name in _KINDS.items()
            if "examples" in values.get(kind, {})
        },
        f"NUL: {result['nul'].partition(':')[0]}": result["nul"] not in _HARMLESS_NUL,
        "STATE is not last or not in order": not (states["last"] and states["in_order"]),
        _cut_problem(result["cut"]): _cut_problem(result["cut"]),
    }
    return [text for text, is_one in problems.items() if is_one]


def _cut_problem(cut: Result) -> str:
    if cut["code"] == 0:
        return "a cut line passes with exit 0"
    return (
        "a cut line: STATE confirms rows that are not stored"
        if cut["states"] and cut["rows"] < _CONFIRMED
        else ""
    )


def _counts(found: Result) -> str:
    """Return the outcomes that change values, with their numbers."""
    total = sum(found["outcomes"].values())
    return ", ".join(
        f"{name} ({found['outcomes'][name]:,} of {total:,})" for name in found["examples"]
    )


def _title(entry: Result) -> str:
    form = entry["name"].removeprefix(entry["package"])
    return f"**{entry['package']}** {entry['version']}{form}"


def _recommended(entries: list[Result]) -> Iterator[str]:
    yield "## Recommended\n"
    yield "Every row and every value arrives, with these settings of the tap:\n"
    yield "| target | settings of the tap | rows that come again | to know |"
    yield "| --- | --- | --- | --- |"
    for entry in entries:
        good = [name for name, result in entry["tap"].items() if not _problems(result)]
        settings = "default" if "default" in good else _SETTINGS[good[0]]
        result = entry["tap"][good[0]]
        yield _row([_title(entry), settings, result["rows"]["mode"], _to_know(entry, result)])
    yield ""


def _to_know(entry: Result, result: Result) -> str:
    """Return what is no loss, but may surprise."""
    values = result["values"]
    forms = {
        name: [kind for kind, found in values.items() if form in found["outcomes"]]
        for form, name in _FORMS.items()
    }
    sentences = [f"{name}." for name, kinds in forms.items() if kinds]
    problems = _problems(entry["tap"]["default"])
    if problems:
        sentences.append(f"By default: {'; '.join(problems)}.")
    if "exit" in result["activate_version"]:
        sentences.append("Stops at ACTIVATE_VERSION: no full reads.")
    return " ".join([*sentences, *([entry["note"]] if "note" in entry else [])])


def _changing(entries: list[Result]) -> Iterator[str]:
    yield "## Targets that change data\n"
    yield (
        "The exit code is 0 unless noted. The numbers are values of the measured rows, few of "
        "which are hard: a decimal of up to 15 digits is right as a double, too.\n"
    )
    yield from _problem_table(entries)


def _failing(entries: list[Result]) -> Iterator[str]:
    yield "## Targets that fail\n"
    yield "These targets end with an error on valid rows of this tap.\n"
    yield from _problem_table(entries)


def _problem_table(entries: list[Result]) -> Iterator[str]:
    yield "| target | settings of the tap | what happens |"
    yield "| --- | --- | --- |"
    for entry in entries:
        for name, result in entry["tap"].items():
            problems = "; ".join(_problems(result)) or "every value arrives"
            note = f" {entry['note']}" if "note" in entry and name == "default" else ""
            yield _row([_title(entry), _SETTINGS[name], f"{problems}.{note}"])
    yield ""


def _not_run(entries: list[Result]) -> Iterator[str]:
    yield "## Not measured\n"
    yield "| target | reason |"
    yield "| --- | --- |"
    for entry in entries:
        reasons = dict.fromkeys(result["not_run"] for result in entry["tap"].values())
        yield _row([_title(entry), "; ".join(reasons)])
    yield ""


def _all_results(entries: list[Result]) -> Iterator[str]:
    yield "## All results\n"
    yield "| term | meaning |"
    yield "| --- | --- |"
    yield from (_row([f"`{term}`", meaning]) for term, meaning in _TERMS.items())
    yield (
        "\nRows per CPU second and memory are of the target's process alone. A cut line: exit "
        "code, STATE lines, and how many of ten rows are stored. The STATE follows the fifth row.\n"
    )
    columns = (
        *("target", "Python", "settings of the tap", "rows", "decimals", "nested", "`_extra`"),
        *("date-times", "dates", "control characters", "empty text", "null", "NUL", "names"),
        *("empty stream", "STATE lines", "cut line", "ACTIVATE_VERSION", "rows per CPU s", "MiB"),
    )
    yield _row(list(columns))
    yield _row(["---"] * len(columns))
    for entry in entries:
        for name, result in entry["tap"].items():
            if "not_run" not in result and "error" not in result:
                yield _row(
                    [_title(entry), entry["python"], _SETTINGS[name], *_result_cells(result)]
                )


def _result_cells(result: Result) -> list[str]:
    cut, speed = result["cut"], result["speed"]
    return [
        result["rows"]["mode"],
        *(_cell(result, kind) for kind in _COLUMNS),
        result["nul"].partition(":")[0],
        ", ".join(result["names"]) or "-",
        "stored" if result["empty_stream"] else "nothing",
        f"{result['states']['lines']}",
        f"exit {cut['code']}, {cut['states'] or 'no'} STATE, {cut['rows']} of 10 rows",
        result["activate_version"].partition(":")[0],
        f"{speed['rows_per_cpu_second']:,}" if "error" not in speed else speed["error"],
        f"{speed['mib']}" if "error" not in speed else "",
    ]


def _cell(result: Result, kind: str) -> str:
    """Return the outcomes of a kind of value, harmless ones without numbers."""
    found = result["values"].get(kind, {"outcomes": {}})
    others = {name: number for name, number in found["outcomes"].items() if name != "exact"}
    changes = found.get("examples", {})
    total = sum(found["outcomes"].values())
    return (
        ", ".join(
            f"{name} ({number:,} of {total:,})" if name in changes else name
            for name, number in others.items()
        )
        or "exact"
    )


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
