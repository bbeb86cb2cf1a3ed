"""A fault type by which a test learns of a request, or acts at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulator import FaultType

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response


class CallAtRequest(FaultType):
    """Calls a function at a request, before the response."""

    def __init__(self, call: Callable[[], object], fault_type: FaultType | None = None) -> None:
        """Keep the function.

        Args:
            call: The function.
            fault_type: What responds after the call; without it, the response is the regular one.
        """
        self._call = call
        self._fault_type = fault_type

    def respond(self, context: RequestContext) -> Response:
        """Call the function and respond."""
        self._call()
        return self._fault_type.respond(context) if self._fault_type else context.execute()
