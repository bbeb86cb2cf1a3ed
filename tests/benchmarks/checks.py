"""Checks of a candidate's output: figures count only if every row was emitted.

Each check reads the output to its end and returns the problem, or None if the output is complete.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import IO, TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Check: TypeAlias = "Callable[[IO[bytes]], str | None]"


class _Record(msgspec.Struct):
    id: int | str


class _Message(msgspec.Struct):
    type: str
    stream: str = ""
    record: _Record | None = None


def check_records(output: IO[bytes], *, expected: Mapping[str, int]) -> str | None:
    """Check that every row was emitted exactly once and that the last message is STATE.

    Args:
        output: Messages of the tap.
        expected: Rows by stream.

    Raises:
        msgspec.MsgspecError: If a line is not a Singer message.
    """
    decode = msgspec.json.Decoder(_Message).decode
    records: Counter[str] = Counter()
    ids: dict[str, set[int | str]] = defaultdict(set)
    last = ""
    for line in output:
        message = decode(line)
        last = message.type
        if message.record is not None:
            records[message.stream] += 1
            ids[message.stream].add(message.record.id)
    wrong = [
        f"{stream} ({records[stream]} records, {len(ids[stream])} ids, {count} rows)"
        for stream, count in expected.items()
        if not records[stream] == len(ids[stream]) == count
    ]
    if wrong:
        return f"did not emit every row exactly once: {', '.join(wrong)}"
    return None if last == "STATE" else "did not end with a STATE message"


def check_catalog(output: IO[bytes], *, expected: int) -> str | None:
    """Check the number of streams in a catalog."""
    found = len(msgspec.json.decode(output.read())["streams"])
    return None if found == expected else f"discovered {found} of {expected} streams"
