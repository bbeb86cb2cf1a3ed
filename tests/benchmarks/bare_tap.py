"""The least that an SDK tap can be, one stream of two fields: what starting up costs any tap."""

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


class Things(RESTStream[str]):
    """A stream."""

    name = "things"
    path = "/things"
    url_base = "https://service.example"
    schema: t.ClassVar[dict[str, t.Any]] = th.PropertiesList(
        th.Property("id", th.IntegerType()), th.Property("name", th.StringType())
    ).to_dict()


class BareTap(Tap):
    """A tap."""

    name = "tap-bare"
    config_jsonschema: t.ClassVar[dict[str, t.Any]] = th.PropertiesList().to_dict()

    @override
    def discover_streams(self) -> list[Things]:
        return [Things(self)]


if __name__ == "__main__":
    BareTap.cli()
