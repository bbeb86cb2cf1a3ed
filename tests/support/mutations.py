"""Valid JSON that something happened to: for tests of what people and programs do to files."""

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
"""What stands in the place of something else."""


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """Put junk into one to three places of a value, or take away what is there."""
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
    """Nest lists."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value
