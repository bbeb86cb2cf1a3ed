"""Measures the CPU time of the minimum work: from page bodies to RECORD messages.

There is no HTTP, no schema and no state: all pages are fetched before the measurement. The program
prints `{"json": {"records": ..., "cpu": ...}, "msgspec": ...}`. Its settings are the environment
variables LOWER_BOUND_API_URL, LOWER_BOUND_API_SECRET and LOWER_BOUND_SCHOOL_CODE.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import requests

from tests.benchmarks.datasets import PAGE_SIZE, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_RANGE: Final = {"updatedStart": "2000-01-01", "updatedEnd": "2100-01-01"}
_TIMEOUT: Final = 60.0

Page: TypeAlias = tuple[str, bytes]
"""The name of the stream and the body."""


def fetch_pages(url: str, session: requests.Session) -> Iterator[Page]:
    """Fetch the pages of all streams.

    Args:
        url: URL of the service.
        session: Session with the headers of the service.
    """
    for stream in streams():
        submitted = session.post(f"{url}/{stream}", params=_RANGE, timeout=_TIMEOUT)
        parameters = {"queryId": submitted.json()["queryId"], "size": PAGE_SIZE}
        while True:
            response = session.get(f"{url}/{stream}", params=parameters, timeout=_TIMEOUT)
            response.raise_for_status()
            yield stream, response.content
            token = msgspec.json.decode(response.content).get("NextToken")
            if not token:
                break
            parameters["token"] = token


def measure(
    pages: Sequence[Page], decode: Callable[[bytes], Any], encode: Callable[[object], bytes]
) -> dict[str, float]:
    """Measure the conversion of all pages with one JSON library."""
    extracted, records = datetime.now(UTC).isoformat(), 0
    with Path(os.devnull).open("wb") as output:
        started = time.process_time()
        for stream, body in pages:
            for row in decode(body)["Results"]:
                message = {
                    "type": "RECORD",
                    "stream": stream,
                    "record": row,
                    "time_extracted": extracted,
                }
                output.write(encode(message) + b"\n")
                records += 1
        return {"records": records, "cpu": time.process_time() - started}


def main() -> None:
    """Fetch all pages, then measure both libraries."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["X-CG-API-Secret"] = os.environ["LOWER_BOUND_API_SECRET"]
        session.headers["X-CG-School"] = os.environ["LOWER_BOUND_SCHOOL_CODE"]
        pages = list(fetch_pages(os.environ["LOWER_BOUND_API_URL"], session))
    measured = {
        "json": measure(pages, json.loads, lambda message: json.dumps(message).encode()),
        "msgspec": measure(pages, msgspec.json.Decoder().decode, msgspec.json.Encoder().encode),
    }
    json.dump(measured, sys.stdout)


if __name__ == "__main__":
    main()
