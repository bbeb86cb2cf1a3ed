"""What the tap assumes of the service, and how the responses of a probe judge it."""

from __future__ import annotations

import enum
import re
import typing as t
from collections import Counter
from datetime import timedelta
from http import HTTPStatus

from tap_campusgroups.exports.response import ResponseKind
from tap_campusgroups.exports.service_monitor import MAX_CLOCK_DIFFERENCE, utc_now
from tap_campusgroups.probe.questions import OVERSIZED, base_of, known_row, small_size
from tap_campusgroups.probe.rows import OTHER_FORM, UNDATED
from tap_campusgroups.records.values import parse_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tap_campusgroups.probe.client import Exchange, Export, ProbeClient
    from tap_campusgroups.probe.rows import RowSurvey

DOCUMENT: t.Final = "document"
SPECIFICATION: t.Final = "specification 1.1"
CLIENTS: t.Final = "public clients"
INFERENCE: t.Final = "inference"


class Result(enum.StrEnum):
    """How an assumption compares with the service."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_SEEN = "not seen"


Finding: t.TypeAlias = tuple[bool | None, str]
"""Whether the service agrees, if that was seen, and what was seen."""

_NOTHING: t.Final[Finding] = (None, "")


class Assumption(t.NamedTuple):
    """Something that the tap assumes."""

    name: str
    text: str
    source: str
    judge: Callable[[ProbeClient], Finding]


ASSUMPTIONS: t.Final[list[Assumption]] = []


def _assume(
    name: str, text: str, source: str
) -> Callable[[Callable[[ProbeClient], Finding]], Callable[[ProbeClient], Finding]]:
    def register(judge: Callable[[ProbeClient], Finding]) -> Callable[[ProbeClient], Finding]:
        ASSUMPTIONS.append(Assumption(name, text, source, judge))
        return judge

    return register


def result(finding: Finding) -> Result:
    """Return the result of a finding."""
    agrees, _ = finding
    if agrees is None:
        return Result.NOT_SEEN
    return Result.AGREES if agrees else Result.DIFFERS


def _counted(things: Iterable[object]) -> str:
    """Describe equal things by their number: `3 x HTTP 200, 1 x HTTP 201`."""
    return ", ".join(f"{count} x {thing}" for thing, count in Counter(map(str, things)).items())


def listed(counts: Mapping[str, int]) -> str:
    """Describe counts: `true (3), null (1)`."""
    return ", ".join(f"{name} ({count})" for name, count in counts.items())


def _pages(client: ProbeClient) -> Iterator[Exchange]:
    return (one for one in client.exchanges if one.is_page)


def _over(client: ProbeClient, name: str) -> Export | None:
    """Return an export by its name, if it has a page or an error other than a rate limit."""
    export = client.exports.get(name)
    if not export or not export.is_over:
        return None
    return None if export.exchanges[-1].parsed.kind is ResponseKind.BUSY else export


def _all_over(client: ProbeClient) -> list[Export]:
    """Return the exports that are over, except those that ask for an error."""
    return [one for name in client.exports if name != "bad date" and (one := _over(client, name))]


# Statuses and shapes


@_assume("submit", "A POST is answered by 200 with the key queryId.", DOCUMENT)
def _submit(client: ProbeClient) -> Finding:
    posts = [one.exchanges[0] for one in _all_over(client)]
    # A range that is refused is another assumption.
    posts = [one for one in posts if one.parsed.kind is not ResponseKind.REJECTED] or posts
    shapes = [f"{one.parsed.status} with {', '.join(one.keys) or 'no key'}" for one in posts]
    return (set(shapes) == {"200 with queryId"} if posts else None), _counted(shapes)


@_assume(
    "states", "Polls are answered by 201 (queued), then 202 (running), then 200.", SPECIFICATION
)
def _states(client: ProbeClient) -> Finding:
    failed = [one for one in _all_over(client) if one.query_id and not one.page]
    orders = [one.statuses for one in _all_over(client) if one.page]
    seen = _counted(
        [
            *(" ".join(map(str, dict.fromkeys(one))) for one in orders),
            *(one.exchanges[-1] for one in failed),
        ]
    )
    known = [
        [one for status in (201, 202, 200) for one in order if one == status] for order in orders
    ]
    if failed or orders != known:
        return False, seen
    return (True if any(len(one) > 1 for one in orders) else None), seen


@_assume("wait bodies", "201 and 202 have only the key message, with a known text.", SPECIFICATION)
def _wait_bodies(client: ProbeClient) -> Finding:
    waits = [
        one for one in client.exchanges if one.method == "GET" and one.parsed.status in (201, 202)
    ]
    shapes = [
        f"{one.parsed.status} with {', '.join(one.keys)}: {one.parsed.detail}" for one in waits
    ]
    agrees = all(one.keys == ("message",) and "hidden" not in one.parsed.detail for one in waits)
    return (agrees if waits else None), _counted(shapes)


@_assume(
    "page keys", "A page has the keys Results and, unless it is the last, NextToken.", DOCUMENT
)
def _page_keys(client: ProbeClient) -> Finding:
    shapes = [", ".join(one.keys) for one in _pages(client)]
    allowed = {"Results", "Results, NextToken", "NextToken, Results"}
    return (set(shapes) <= allowed if shapes else None), _counted(shapes)


def _judge_answer(client: ProbeClient, name: str, expected: set[ResponseKind]) -> Finding:
    answer = client.answers.get(name)
    return (answer.parsed.kind in expected, str(answer)) if answer else _NOTHING


@_assume("unknown queryId", "A GET with an unknown queryId is answered by 400 or 404.", INFERENCE)
def _unknown_query(client: ProbeClient) -> Finding:
    return _judge_answer(client, "unknown queryId", {ResponseKind.EXPIRED})


@_assume("wrong token", "A GET with a wrong token is answered by 400 or 404.", INFERENCE)
def _wrong_token(client: ProbeClient) -> Finding:
    return _judge_answer(client, "wrong token", {ResponseKind.EXPIRED})


@_assume("empty token", "An empty token gets the first page.", CLIENTS)
def _empty_token(client: ProbeClient) -> Finding:
    answer, first = client.answers.get("empty token"), client.answers.get("page 1")
    if answer is None or first is None or not first.is_page:
        return _NOTHING
    return answer.rows == first.rows, str(answer)


@_assume("oversized page", f"size={OVERSIZED} gets an error or at most 999 rows.", DOCUMENT)
def _oversized(client: ProbeClient) -> Finding:
    if (answer := client.answers.get("oversized")) is None:
        return _NOTHING
    # A smaller page shows nothing.
    if answer.is_page and len(answer.rows) < OVERSIZED - 1:
        return None, str(answer)
    return len(answer.rows) < OVERSIZED, str(answer)


@_assume(
    "bad date",
    'A date that cannot be parsed is refused ("Error parsing start date").',
    SPECIFICATION,
)
def _bad_date(client: ProbeClient) -> Finding:
    if not (export := _over(client, "bad date")):
        return _NOTHING
    return export.exchanges[0].parsed.kind is ResponseKind.REJECTED, str(export.exchanges[-1])


@_assume("wrong secret", "A wrong secret is answered by 401 or 403.", SPECIFICATION)
def _wrong_secret(client: ProbeClient) -> Finding:
    return _judge_answer(client, "wrong secret", {ResponseKind.DENIED})


_MEDIA_TYPES: t.Final = ("application/json", "text/html", "text/plain", "application/octet-stream")


@_assume("content type", "Every response is application/json.", SPECIFICATION)
def _content_type(client: ProbeClient) -> Finding:
    given = [one.headers.get("Content-Type", "none").split(";")[0] for one in client.exchanges]
    shown = [one if one in {*_MEDIA_TYPES, "none"} else "another" for one in given]
    return (set(shown) == {_MEDIA_TYPES[0]} if shown else None), _counted(shown)


_ENCODINGS: t.Final = ("identity", "gzip", "deflate")


@_assume("compression", "Responses are plain, or compressed with gzip or deflate.", INFERENCE)
def _compression(client: ProbeClient) -> Finding:
    given = [one.headers.get("Content-Encoding", "identity").lower() for one in client.exchanges]
    shown = [one if one in {*_ENCODINGS, "br", "zstd"} else "another" for one in given]
    return (set(shown) <= {*_ENCODINGS} if shown else None), _counted(shown)


@_assume("keep-alive", "The service keeps connections open.", INFERENCE)
def _keep_alive(client: ProbeClient) -> Finding:
    closed = [
        "closed" if one.headers.get("Connection", "").lower() == "close" else "kept open"
        for one in client.exchanges
    ]
    return ("closed" not in closed if closed else None), _counted(closed)


_LIMIT_HEADER = re.compile(r"retry-after|(?:x-)?rate-?limit(?:-[a-z]{1,20}){0,3}")


@_assume("rate limit", "No rate limit: neither 429 nor a header that announces one.", INFERENCE)
def _rate_limit(client: ProbeClient) -> Finding:
    busy = [
        "HTTP 429" for one in client.exchanges if one.parsed.status == HTTPStatus.TOO_MANY_REQUESTS
    ]
    headers = [
        name.lower()
        for one in client.exchanges
        for name in one.headers
        if _LIMIT_HEADER.fullmatch(name.lower())
    ]
    seen = _counted([*busy, *headers]) or f"{len(client.exchanges)} responses without either"
    return (not busy and not headers if client.exchanges else None), seen


# Pages


@_assume(
    "page size", "A page has at most size rows, and exactly so many if it has a token.", DOCUMENT
)
def _page_size(client: ProbeClient) -> Finding:
    base, pages = base_of(client), _small_pages(client)
    if base is None or not pages:
        return _NOTHING
    size = int(small_size(base))
    counts = [len(one.rows) for one in pages]
    full = all(len(one.rows) == size for one in pages if one.parsed.token)
    return full and max(counts) <= size, f"size {size}: {', '.join(map(str, counts))} rows"


def _small_pages(client: ProbeClient) -> list[Exchange]:
    found: list[Exchange] = []
    while (page := client.answers.get(f"page {len(found) + 1}")) and page.is_page:
        found.append(page)
    return found


@_assume("default size", "Without size, a page has 999 rows, or all.", DOCUMENT)
def _default_size(client: ProbeClient) -> Finding:
    if (answer := client.answers.get("without size")) is None:
        return _NOTHING
    is_full = len(answer.rows) == OVERSIZED - 1 or answer.parsed.token is None
    return answer.is_page and is_full, str(answer)


@_assume("last page", "The last page has no token: its key is absent, null or empty.", DOCUMENT)
def _last_page(client: ProbeClient) -> Finding:
    forms = [f"token {one.token_form}" for one in _pages(client) if one.parsed.token is None]
    known = {"token absent", "token null", "token empty"}
    after = client.answers.get("after full last page")
    seen = _counted(forms)
    if after:
        seen += f"; after a page of exactly all rows: {after}"
    return (set(forms) <= known and after is None if forms else None), seen


@_assume("pages differ", "The pages of a query have no row in common, and have all rows.", DOCUMENT)
def _overlap(client: ProbeClient) -> Finding:
    base, pages = base_of(client), _small_pages(client)
    if base is None or len(pages) < 2:  # noqa: PLR2004 - the fewest that can overlap
        return _NOTHING
    ids = [row.id for page in pages for row in page.rows]
    is_whole = pages[-1].parsed.token is None and base.is_complete
    missing = len(base.ids() - set(ids)) if is_whole else 0
    repeated = len(ids) - len(set(ids)) - _repeated(base.page)
    seen = f"{len(pages)} pages: {repeated} rows repeated, {missing} missing"
    return repeated <= 0 and not missing, seen


def _repeated(page: Exchange | None) -> int:
    """Return how many rows of a page have an id that an earlier row has."""
    return len(page.rows) - len({row.id for row in page.rows}) if page else 0


def _same(client: ProbeClient, *pairs: tuple[str, str]) -> Finding:
    asked = [
        (client.answers[name], client.answers[again])
        for name, again in pairs
        if name in client.answers and again in client.answers
    ]
    seen = [
        "the same rows" if one.is_page and one.rows == two.rows else f"{one}, then {two}"
        for one, two in asked
    ]
    return (set(seen) == {"the same rows"} if asked else None), _counted(seen)


@_assume("page again", "A first page that is asked for twice is the same.", INFERENCE)
def _page_again(client: ProbeClient) -> Finding:
    return _same(client, ("page 1", "page 1 again"))


@_assume("token again", "A token can be used twice.", INFERENCE)
def _token_again(client: ProbeClient) -> Finding:
    return _same(client, ("page 2", "page 2 again"))


@_assume("queries in turn", "Pages of two queries can be read in turn.", INFERENCE)
def _in_turn(client: ProbeClient) -> Finding:
    other = client.answers.get("page 2 of another query")
    if other is None:
        return _NOTHING
    agrees, seen = _same(client, ("page 3", "page 3 after another query"))
    return other.is_page and agrees is not False, f"{other}; page 3: {seen or 'not asked for'}"


@_assume("lifetime", "A queryId and a token are still good after the wait.", CLIENTS)
def _lifetime(client: ProbeClient) -> Finding:
    agrees, seen = _same(client, ("page 1", "queryId later"), ("page 2", "token later"))
    return agrees, seen and f"after {client.rested / 60:g} minutes: {seen}"


# Ranges


def _presence(client: ProbeClient, names: Iterable[str]) -> dict[str, tuple[bool, str]]:
    """Return whether the row of `known_row` is in some exports, and a description."""
    row = known_row(client, has_fraction=False) or known_row(client, has_fraction=True)
    found = {}
    for name in names if row else ():
        export = _over(client, name)
        if row and export:
            is_there = row.id in export.ids()
            seen = "the row is there" if is_there else str(export.exchanges[-1])
            found[name] = is_there, f"{name}: {seen}"
    return found


@_assume("bounds", "Both bounds of a range are inclusive.", DOCUMENT)
def _bounds(client: ProbeClient) -> Finding:
    found = _presence(client, ["one updatedOn", "from one updatedOn", "up to one updatedOn"])
    seen = "; ".join(text for _, text in found.values())
    return (found["one updatedOn"][0] if found else None), seen


@_assume("offset", "A date with an offset is understood.", SPECIFICATION)
def _offset(client: ProbeClient) -> Finding:
    return _presence(client, ["offset"]).get("offset", _NOTHING)


@_assume("precision", "Fractions of a second count in a range.", INFERENCE)
def _precision(client: ProbeClient) -> Finding:
    row, export = known_row(client, has_fraction=True), _over(client, "one second")
    if row is None or export is None or not export.page:
        return _NOTHING
    is_there = row.id in export.ids()
    return not is_there, f"a row is {'in' if is_there else 'not in'} its second without fraction"


@_assume("filter", "A range has no row outside of it, to the second.", DOCUMENT)
def _filter(client: ProbeClient) -> Finding:
    outside, rows, second = Counter[str](), 0, timedelta(seconds=1)
    for export in client.exports.values():
        start, end = parse_timestamp(export.start), parse_timestamp(export.end)
        for row in export.page.rows if export.page and start and end else ():
            rows += 1
            if (at := row.updated_at) and not (start and end and start <= at < end + second):
                outside[export.name] += 1
    seen = f"{outside.total()} of {rows} rows outside"
    return (not outside if rows else None), f"{seen}: {listed(outside)}" if outside else seen


def _same_ids(client: ProbeClient, name: str, other: str) -> Finding:
    one, two = _over(client, name), _over(client, other)
    if not (one and one.is_complete and two):
        return _NOTHING
    if not two.page:
        return False, str(two.exchanges[-1])
    seen = f"{len(one.ids())} and {len(two.ids())} rows, {len(one.ids() & two.ids())} in common"
    # Without rows, any range is the same.
    return (one.ids() == two.ids() if one.ids() | two.ids() else None), seen


@_assume("range again", "A range that is asked for twice has the same rows.", INFERENCE)
def _range_again(client: ProbeClient) -> Finding:
    return _same_ids(client, "month", "month again")


@_assume("order", "Rows come in no order.", INFERENCE)
def _order(client: ProbeClient) -> Finding:
    pages = [export.page for export in client.exports.values() if export.page]
    times = [[row.updated_at for row in page.rows if row.updated_at] for page in pages]
    long = [one for one in times if len(one) > 3]  # noqa: PLR2004 - few rows may be in order
    ordered = [one in (sorted(one), sorted(one, reverse=True)) for one in long]
    seen = f"{sum(ordered)} of {len(ordered)} exports in the order of updatedOn"
    return (not all(ordered) if ordered else None), seen


@_assume("date", "A date without time is midnight UTC.", SPECIFICATION)
def _date(client: ProbeClient) -> Finding:
    return _same_ids(client, "month", "date without time")


@_assume("start in 1900", "A range may start in 1900.", INFERENCE)
def _start_1900(client: ProbeClient) -> Finding:
    if not (export := _over(client, "from 1900")):
        return _NOTHING
    return export.page is not None, str(export.exchanges[-1])


@_assume(
    "end in the future", "A range may end in the future, and has all rows up to now.", INFERENCE
)
def _future(client: ProbeClient) -> Finding:
    day, export = _over(client, "day"), _over(client, "future end")
    if not export:
        return _NOTHING
    missing = len(day.ids() - export.ids()) if day and day.is_complete else 0
    has_all = missing == 0 or not export.is_complete
    seen = f"{export.exchanges[-1]}, {missing} missing"
    return export.page is not None and has_all, seen


# Time


@_assume("clock", f"The service's Date differs by at most {MAX_CLOCK_DIFFERENCE}.", INFERENCE)
def _clock(client: ProbeClient) -> Finding:
    found = [one.clock_difference for one in client.exchanges]
    differences = [one for one in found if one is not None]
    without = len(found) - len(differences)
    seen = [f"{without} responses without Date"] if without else []
    if not differences:
        return (False if found else None), "".join(seen)
    extremes = [round(edge(differences).total_seconds()) for edge in (min, max)]
    seen.insert(0, f"{extremes[0]} to {extremes[1]} s")
    is_near = all(abs(one) <= MAX_CLOCK_DIFFERENCE for one in differences)
    return is_near and not without, ", ".join(seen)


def _age(newest: str | None) -> float | None:
    """Return the age of a canonical timestamp in hours."""
    at = parse_timestamp(newest)
    return (utc_now() - at).total_seconds() / 3600 if at else None


@_assume("lag", "The newest row of a busy stream is not older than lookback_hours.", CLIENTS)
def _lag(client: ProbeClient) -> Finding:
    ages = {name: age for name, one in client.surveys.items() if (age := _age(one.newest))}
    later = client.exports.get("newest later")
    times = [row.updated_at for row in later.page.rows] if later and later.page else []
    seen = [f"{name} {age:.1f} h" for name, age in ages.items()]
    if newest := max((at for at in times if at), default=None):
        hours = (utc_now() - newest).total_seconds() / 3600
        seen.append(f"{later.stream if later else ''} at the end {hours:.1f} h")
    lookback = client.settings.lookback.total_seconds() / 3600
    return (min(ages.values()) <= lookback if ages else None), ", ".join(seen)


@_assume("no future rows", "No row has an updatedOn that is later than now.", INFERENCE)
def _future_rows(client: ProbeClient) -> Finding:
    now = utc_now() + MAX_CLOCK_DIFFERENCE
    times = [
        at
        for export in client.exports.values()
        for row in (export.page.rows if export.page else ())
        if (at := row.updated_at)
    ]
    later = sum(at > now for at in times)
    return (not later if times else None), f"{later} of {len(times)} rows"


# Rows

_MAX_SHOWN: t.Final = 12  # fields of an assumption


def _by_field(
    client: ProbeClient, found: Callable[[RowSurvey], Mapping[str, t.Any] | Iterable[str]]
) -> Finding:
    surveys = [one for one in client.surveys.values() if one.rows]
    rows = sum(one.rows for one in surveys)
    seen = [
        f"{one.stream}.{name}{_detail(fields, name)}"
        for one in surveys
        for fields in [found(one)]
        for name in fields
    ]
    more = f"; {len(seen) - _MAX_SHOWN} more" if len(seen) > _MAX_SHOWN else ""
    text = "; ".join(seen[:_MAX_SHOWN]) + more
    return (not seen if rows else None), text or f"{rows} rows without exception"


def _detail(fields: Mapping[str, t.Any] | Iterable[str], name: str) -> str:
    value = fields[name] if isinstance(fields, dict) else None
    if isinstance(value, dict):
        return f": {listed(value)}"
    return f" ({value})" if value else ""


@_assume("JSON types", "Values have the JSON type of the specification.", SPECIFICATION)
def _types(client: ProbeClient) -> Finding:
    return _by_field(client, lambda survey: survey.unexpected())


@_assume("convertible", "Values can be converted to the type of the specification.", SPECIFICATION)
def _convertible(client: ProbeClient) -> Finding:
    return _by_field(client, lambda survey: dict(survey.quality.type_mismatches))


@_assume("date forms", "Dates and times are ISO 8601, and times have Z or an offset.", INFERENCE)
def _forms(client: ProbeClient) -> Finding:
    patterns = sum(
        (counts for one in client.surveys.values() for counts in one.patterns.values()),
        Counter[str](),
    )
    odd = [one for one in patterns if one == OTHER_FORM or UNDATED.fullmatch(one)]
    return (not odd if patterns else None), listed(dict(patterns.most_common(8)))


@_assume("all fields", "Rows have all fields of the specification.", SPECIFICATION)
def _missing(client: ProbeClient) -> Finding:
    return _by_field(client, lambda survey: survey.missing())


@_assume("no other fields", "Rows have no other fields.", SPECIFICATION)
def _unknown(client: ProbeClient) -> Finding:
    return _by_field(
        client,
        lambda survey: {name: one.count for name, one in survey.quality.unknown_fields.items()},
    )


@_assume("ids", "Every row is an object with an integer as id.", SPECIFICATION)
def _ids(client: ProbeClient) -> Finding:
    surveys = [one for one in client.surveys.values() if one.rows or one.others]
    kinds = sum((Counter(one.forms["id"]) for one in surveys), Counter[str]())
    rows = sum(one.rows for one in surveys)
    kinds["not an object"] = sum(one.others for one in surveys)
    kinds["missing"] = rows - sum(one.forms["id"].total() for one in surveys)
    return (kinds["integer"] == rows and not kinds["not an object"] if surveys else None), listed(
        +kinds
    )


@_assume("unique ids", "An id is unique within an export: no two versions of a row.", INFERENCE)
def _unique(client: ProbeClient) -> Finding:
    exports = [one for one in client.exports.values() if one.page and one.page.rows]
    repeated, versions = 0, 0
    for export in exports:
        if page := export.page:
            repeated += _repeated(page)
            versions += len({(row.id, row.updated) for row in page.rows})
            versions -= len({row.id for row in page.rows})
    seen = f"{len(exports)} exports: {repeated} ids again, {versions} of them in another version"
    return (not repeated if exports else None), seen


@_assume("updatedOn", "Every row has an updatedOn.", INFERENCE)
def _updated(client: ProbeClient) -> Finding:
    rows = [row for page in _pages(client) for row in page.rows]
    without = sum(row.updated_at is None for row in rows)
    return (not without if rows else None), f"{without} of {len(rows)} rows without"


@_assume("deleted", "deleted is true, false or null.", SPECIFICATION)
def _deleted(client: ProbeClient) -> Finding:
    forms = sum((one.deleted for one in client.surveys.values()), Counter[str]())
    return (set(forms) <= {"true", "false", "null"} if forms else None), listed(forms)


# Durations


@_assume("duration", "An export of a year is ready within export_timeout_minutes.", CLIENTS)
def _duration(client: ProbeClient) -> Finding:
    found = [one for name in ("day", "month", "year") if (one := client.exports.get(name))]
    found = [one for one in found if one.is_over or one.is_left]
    seen = [f"{one.name} {one.queued:.0f} s queued, {one.running:.0f} s running" for one in found]
    return (not any(one.is_left for one in found) if found else None), "; ".join(seen)
