"""From the bodies of pages to lines of records and nothing else: what no tap can be faster than.

Neither HTTP nor schemas nor state. It fetches all pages first, then times the loops, and prints
`{"json": {"records": ..., "cpu": ...}, "msgspec": ...}`. Settings: FLOOR_API_URL and so on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias

import msgspec
import requests

from tests.benchmarks.service import PAGE_SIZE, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_EVERYTHING: Final = {"updatedStart": "2000-01-01", "updatedEnd": "2100-01-01"}
_TIMEOUT: Final = 60.0

Page: TypeAlias = tuple[str, bytes]


class _Body(msgspec.Struct):
    token: str | None = msgspec.field(name="NextToken", default=None)


def fetch(url: str, session: requests.Session) -> Iterator[Page]:
    """Fetch the pages of every stream.

    Args:
        url: Of the service.
        session: With the headers that the service wants.

    Yields:
        The name of the stream and the body.
    """
    for stream in streams():
        reply = session.post(f"{url}/{stream}", params=_EVERYTHING, timeout=_TIMEOUT)
        asked = {"queryId": reply.json()["queryId"], "size": PAGE_SIZE}
        token: str | None = ""
        while token is not None:
            parameters = asked | {"token": token} if token else asked
            answer = session.get(f"{url}/{stream}", params=parameters, timeout=_TIMEOUT)
            answer.raise_for_status()
            yield stream, answer.content
            token = msgspec.json.decode(answer.content, type=_Body).token


def with_json(pages: Sequence[Page], output: IO[bytes]) -> int:
    """Write the records by the standard library; return how many."""
    extracted, count = datetime.now(UTC).isoformat(), 0
    for stream, body in pages:
        for row in json.loads(body)["Results"]:
            message = {
                "type": "RECORD",
                "stream": stream,
                "record": row,
                "time_extracted": extracted,
            }
            output.write(f"{json.dumps(message)}\n".encode())
            count += 1
    return count


def with_msgspec(pages: Sequence[Page], output: IO[bytes]) -> int:
    """Write the records by msgspec; return how many."""
    extracted, count = datetime.now(UTC).isoformat(), 0
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    for stream, body in pages:
        for row in decode(body)["Results"]:
            message = {
                "type": "RECORD",
                "stream": stream,
                "record": row,
                "time_extracted": extracted,
            }
            output.write(encode(message) + b"\n")
            count += 1
    return count


def measure(loop: Callable[[Sequence[Page], IO[bytes]], int], pages: Sequence[Page]) -> object:
    """Time one loop over all pages."""
    with Path(os.devnull).open("wb") as output:
        started = time.process_time()
        records = loop(pages, output)
        return {"records": records, "cpu": time.process_time() - started}


def main() -> None:
    """Fetch, measure, print."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["X-CG-API-Secret"] = os.environ["FLOOR_API_SECRET"]
        session.headers["X-CG-School"] = os.environ["FLOOR_SCHOOL_CODE"]
        pages = list(fetch(os.environ["FLOOR_API_URL"], session))
    measured = {"json": measure(with_json, pages), "msgspec": measure(with_msgspec, pages)}
    json.dump(measured, sys.stdout)


if __name__ == "__main__":
    main()
