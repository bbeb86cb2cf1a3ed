"""Stream maps, checked before the first request.

The SDK ends some mistakes in them with a traceback, and passes over others in silence.
"""

from __future__ import annotations

import re
import typing as t
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import filter as matching
from fnmatch import fnmatch
from importlib.util import find_spec
from itertools import chain, starmap

from singer_sdk.mapper import NULL_STRING, CustomStreamMap, PluginMapper
from singer_sdk.singerlib.catalog import Catalog, MetadataMapping

from tap_campusgroups.catalog_checks import check_entry
from tap_campusgroups.config import invalid_settings, quoted, quoted_names
from tap_campusgroups.full_reads import aliases_of, writing_maps
from tap_campusgroups.records.converter import EXTRA
from tap_campusgroups.stream_map_expressions import (
    FILTER,
    NEEDS_FAKER,
    Scope,
    expression_problems,
)
from tap_campusgroups.streams import STREAMS

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from singer_sdk.singerlib.catalog import CatalogEntry
    from singer_sdk.streams import Stream

    from tap_campusgroups.stream_map_expressions import Fields

    Rules: t.TypeAlias = Mapping[str, t.Any]

PSEUDONYM_KEY: t.Final = "pseudonym_key"
"""The preset's hash key in `stream_map_config`: with it, every marked field must have a rule."""

MARK: t.Final = "x-direct-identifier"
"""Annotation of a property in a stream's schema: `hash` or `drop`."""

_OPTIONS: t.Final = {"__alias__", "__else__", "__filter__", "__key_properties__", "__source__"}
_ALIAS: t.Final = re.compile(r"(?!__)[\w.$ -]{1,255}")
_REMOVED: t.Final = (None, NULL_STRING)
_DROPPED: t.Final[Rules] = {"null": None}
"""The rules of a stream that is mapped to null."""

_MAX_PROBLEMS: t.Final = 3  # in one line


def set_up_mapper(
    config: Mapping[str, t.Any],
    catalog: Catalog,
    streams: Mapping[str, Stream],
    logger: logging.Logger,
) -> PluginMapper:
    """Return the SDK's mapper; raise an error for anything in it that would fail or do nothing.

    Only selected streams are checked: a deselected one may have any schema.
    """
    masks = {name: entry.metadata.resolve_selection() for name, entry in catalog.items()}
    masks = {name: mask for name, mask in masks.items() if mask[()] and name in streams}
    schemas = {name: catalog[name].schema.to_dict() for name in masks}
    fields: dict[str, Fields] = {name: {} for names in STREAMS.values() for name in names}
    fields |= {name: stream.schema["properties"] for name, stream in streams.items()}
    selected: dict[str, Fields] = {}
    for name, mask in masks.items():
        own = schemas[name].get("properties", {})
        fields[name] = {**fields[name], **own}
        selected[name] = {one: own[one] for one in own if mask["properties", one]}
    maps = _Maps(config, fields, selected, logger)
    problems = [*maps.problems()]
    if not problems and PSEUDONYM_KEY in (config.get("stream_map_config") or {}):
        for name, own in selected.items():
            marked = {
                field
                for field, definition in streams[name].schema["properties"].items()
                if (field == EXTRA or is_marked(definition)) and field in own
            }
            problems += maps.unmasked(name, marked)
    if len(problems) > _MAX_PROBLEMS:
        problems[_MAX_PROBLEMS:] = [f"and {len(problems) - _MAX_PROBLEMS} more"]
    mapper = None if problems else _mapper(config, [catalog[name] for name in masks], logger)
    if mapper is None or (problems := [*_shared_names(mapper)]):
        raise invalid_settings(problems)
    for name in catalog.keys() - masks.keys():
        # For a dry run of the SDK, which selects all streams. The metadata is left out because SDK
        # 0.54 gives a deselected stream an empty schema, in which its stream map misses the key.
        with suppress(Exception):
            whole = replace(catalog[name], metadata=MetadataMapping())
            mapper.register_raw_streams_from_catalog(Catalog({name: whole}))
    for name, mask in masks.items():
        if writing_maps(mapper.stream_maps.get(name, ())):
            check_entry(streams[name], schemas[name], mask)
    return mapper


def is_marked(definition: Mapping[str, t.Any]) -> bool:
    """Return whether a field or one of its nested fields is marked."""
    inner = list(definition.get("properties", {}).values())
    if "items" in definition:
        inner.append(definition["items"])
    return MARK in definition or any(map(is_marked, inner))


def _mapper(
    config: Mapping[str, t.Any],
    entries: Iterable[CatalogEntry],
    logger: logging.Logger,
) -> PluginMapper:
    name = "*"
    try:
        # A copy of the maps, because the SDK removes `__else__`.
        maps = {**(config.get("stream_maps") or {})}
        mapper = PluginMapper({**config, "stream_maps": maps}, logger)
        for entry in entries:
            name = entry.tap_stream_id
            mapper.register_raw_streams_from_catalog(Catalog({name: entry}))
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises for a mistake
        problem = f"the SDK cannot apply the settings to {quoted(name)} ({type(error).__name__}): "
        problem += "correct stream_maps, faker_config or flattening"
        if "Duplicate column" in str(error):
            problem = f"two fields of a stream get the same column ({name}); raise "
            problem += "flattening_max_key_length"
    else:
        return mapper
    raise invalid_settings([problem])  # outside of `except`: the error may quote a value


def _shared_names(mapper: PluginMapper) -> Iterator[str]:
    """Find streams that share a table, in which rows of equal ids would replace each other."""
    streams: dict[str, list[str]] = defaultdict(list)
    for stream in sorted(mapper.stream_maps):
        alias: t.Any  # the result of an expression: 2024 is a number
        for alias in aliases_of(mapper.stream_maps[stream]):
            if not isinstance(alias, str) or not alias.strip():
                yield f"stream_maps gives {stream} an __alias__ that is not text: add quotes"
            elif not _ALIAS.fullmatch(alias):  # the SDK uses an expression that fails as text
                yield (
                    f"stream_maps gives {stream} an __alias__ that is not a name or whose "
                    "expression fails: use letters, digits and _"
                )
            # Targets may ignore the case, and take a-b for the table b in the schema a.
            streams[str(alias).casefold().rpartition("-")[2]].append(stream)
    for table, names in streams.items():
        if len(names) > 1:
            yield (
                f"stream_maps writes {' and '.join(map(quoted, names))} as {quoted(table)}: give "
                "each a separate name"
            )


class _Maps:
    """The stream maps of the settings, and what in them would fail or do nothing.

    `fields` has the fields of every stream, none for a stream that this tap does not have;
    `selected` has the selected fields of every selected stream.
    """

    def __init__(
        self,
        config: Mapping[str, t.Any],
        fields: Mapping[str, Fields],
        selected: Mapping[str, Fields],
        logger: logging.Logger,
    ) -> None:
        self._fields, self._selected, self._logger = fields, selected, logger
        self._maps: dict[str, t.Any] = {
            name: _DROPPED if rules in _REMOVED else rules
            for name, rules in (config.get("stream_maps") or {}).items()
        }
        self._map_config = config.get("stream_map_config") or {}
        self._faker_config = config.get("faker_config") or {}
        self._has_faker = find_spec("faker") is not None
        self._functions: Collection[str] = ()

    def problems(self) -> Iterator[str]:
        if self._faker_config and not self._has_faker:
            yield f"faker_config {NEEDS_FAKER}"
        elif self._faker_config or self._maps:
            try:
                empty = CustomStreamMap(
                    *("", {}, self._faker_config, {"properties": {}}, None, {}), None
                )
            except Exception:  # noqa: BLE001 - whatever faker raises
                yield (
                    "faker_config is invalid: set locale to one of faker's, such as en_US, and "
                    "seed to an integer"
                )
            else:
                self._functions = empty.functions.keys()
        wrong = [key for key, rules in self._maps.items() if not isinstance(rules, dict)]
        for key in wrong:
            yield f"stream_maps.{quoted(key)} must be an object, or null to drop the stream"
        if not wrong:
            yield from chain.from_iterable(starmap(self._map_problems, self._maps.items()))
            yield from self._replaced()

    def _map_problems(self, key: str, rules: Rules) -> Iterator[str]:
        place, source = f"stream_maps.{quoted(key)}", rules.get("__source__", key)
        streams = matching(self._fields, str(source))
        if key.startswith("__"):
            if key != "__else__" or rules is not _DROPPED:
                yield f"{place} is not an option: the only one is __else__, with null"
        elif not streams:
            yield f"{place} matches no stream{_suggestion(str(source), self._fields)}"
        elif rules is not _DROPPED and any(map(self._fields.get, streams)):
            scope = Scope(
                known={k: v for name in streams for k, v in self._fields[name].items()},
                selected={k: v for k, v in self._selected.items() if k in streams},
                functions=self._functions,
                map_config=self._map_config.keys(),
                has_faker=self._has_faker,
            )
            yield from self._rule_problems(place, rules, scope)

    def _replaced(self) -> Iterator[str]:
        for stream, fields in self._fields.items():
            *others, last = self._maps_of(stream) or [""]
            for key in others:
                rules, kept = self._maps[key], self._maps[last]
                if kept is _DROPPED and rules is not _DROPPED:
                    yield (
                        f"stream_maps.{quoted(last)} drops {stream}, so stream_maps.{quoted(key)} "
                        "does nothing for it: put the map to apply last"
                    )
                elif rules is not _DROPPED and (lost := _rules_for(fields, rules) - kept.keys()):
                    yield (
                        f"stream_maps.{quoted(last)} replaces stream_maps.{quoted(key)} for "
                        f"{stream}, and has no rule for {quoted_names(lost)}: repeat it there"
                    )

    def unmasked(self, stream: str, marked: set[str]) -> Iterator[str]:
        """Find marked fields that leave the tap without a rule."""
        copies = [m for m in self._maps.values() if fnmatch(stream, m.get("__source__", ""))]
        default = _DROPPED if "__else__" in self._maps else {}
        own = [default, *(self._maps[key] for key in self._maps_of(stream))][-1]
        for rules in (own, *copies):
            lost = marked - rules.keys()
            if lost and rules is not _DROPPED and "__else__" not in rules:
                yield (
                    f"stream_maps masks {stream} without a rule for {quoted_names(lost)}: add one, "
                    f"or deselect the fields ({PSEUDONYM_KEY} is set)"
                )

    def _maps_of(self, stream: str) -> list[str]:
        """Return the maps of a stream that are not copies; the SDK applies only the last one."""
        maps = self._maps.items()
        return [key for key, rules in maps if fnmatch(stream, key) and "__source__" not in rules]

    def _rule_problems(self, place: str, rules: Rules, scope: Scope) -> Iterator[str]:
        known = scope.known.keys()
        # The name of a copy is its key.
        options = _OPTIONS - ({"__alias__"} if "__source__" in rules else set())
        for name, rule in rules.items():
            where, is_new = f"{place}.{quoted(name)}", name not in known | options
            if is_new and _resembles_option(name):
                yield f"{where} is not an option of this map{_suggestion(name, options)}"
            elif name not in options and rule in _REMOVED:
                if is_new:
                    yield f"{where} removes a field that does not exist{_suggestion(name, known)}"
            elif name == "__else__":
                if rule not in _REMOVED:
                    yield f"{where} must be null"
            elif is_new and not _is_text(name):
                yield f"{where} is not valid Unicode"
            elif name not in {"__key_properties__", "__source__"} and (name, rule) != (
                FILTER,
                None,
            ):
                for problem in expression_problems(name, rule, scope):
                    yield f"{where} {problem}"
        yield from self._left_fields(place, rules, known)

    def _left_fields(self, place: str, rules: Rules, known: AbstractSet[str]) -> Iterator[str]:
        kept = known | rules.keys() if "__else__" not in rules else {*rules}
        for name in rules.keys() - known - _OPTIONS:
            if similar := _similar(name, kept - rules.keys()):
                self._logger.warning(
                    "%s.%s is a new field, and %s stays as it is: check the name.",
                    *(place, quoted(name), similar),
                )
        keys = rules.get("__key_properties__", ["id"])
        if not isinstance(keys, list | None):
            yield f"{place}.__key_properties__ must be a list"
        elif lost := [
            key for key in keys or () if rules.get(key, key) in _REMOVED or key not in kept
        ]:
            names = quoted_names(map(str, lost))
            yield f"{place} leaves out {names}, a key: add a rule, or set __key_properties__"


def _rules_for(fields: Collection[str], rules: Rules) -> set[str]:
    """Return the rules that do something for a stream with some fields."""
    effective = {*fields, *_OPTIONS}
    return {name for name, rule in rules.items() if name in effective or rule not in _REMOVED}


def _is_text(name: str) -> bool:
    return not any(map(range(0xD800, 0xE000).__contains__, map(ord, name)))


def _resembles_option(name: str) -> bool:
    return name.startswith("__") and (name.endswith("__") or _similar(name, _OPTIONS) is not None)


def _similar(name: str, others: Iterable[str]) -> str | None:
    """Return the name that differs in the case of letters or underscores, or is nearly equal."""
    by_letters = {other.replace("_", "").casefold(): other for other in others}
    found = get_close_matches(name.replace("_", "").casefold(), by_letters, 1, cutoff=0.8)
    return by_letters[found[0]] if found else None


def _suggestion(name: str, others: Iterable[str]) -> str:
    return f" (did you mean {similar}?)" if (similar := _similar(name, others)) else ""
