"""Strategies for valid JSON with damaged places, as people and programs leave it in files."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1.5,
    10**30,
    "",
    "soon",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59.999999-14:00",
    "a\nb\u2028c",
    [],
    [None],
    [[]],
    ["string", 7],
    {},
    {"": None},
    {"type": {"type": []}},
    {"selected": "false"},
)
"""Replacement values."""


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """Replace one to three values by junk, or remove them."""
    value = deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        node = value
        while node:
            key = draw(
                st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
            )
            if node[key] and isinstance(node[key], (dict, list)) and draw(st.integers(0, 3)):
                node = node[key]
                continue
            if draw(st.booleans()):
                node[key] = deepcopy(draw(st.sampled_from(JUNK)))
            else:
                del node[key]
            break
    return value


def nested(levels: int) -> Any:
    """Return nested lists."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value
