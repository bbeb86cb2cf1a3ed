"""The smallest SDK tap, with one stream of two fields: its start-up time is the SDK's."""

from __future__ import annotations

import sys
import typing as t

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.streams import RESTStream

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override


class ExampleStream(RESTStream[str]):
    """The only stream."""

    name = "examples"
    path = "/examples"
    url_base = "https://service.example"
    schema: t.ClassVar[dict[str, t.Any]] = th.PropertiesList(
        th.Property("id", th.IntegerType()), th.Property("name", th.StringType())
    ).to_dict()


class MinimalTap(Tap):
    """The tap."""

    name = "tap-minimal"
    config_jsonschema: t.ClassVar[dict[str, t.Any]] = th.PropertiesList().to_dict()

    @override
    def discover_streams(self) -> list[ExampleStream]:
        return [ExampleStream(self)]


if __name__ == "__main__":
    MinimalTap.cli()
