"""Post a failed run to a webhook, as Slack, Teams, Mattermost and most mail gateways accept it.

Without `from __future__ import annotations`: Dagster reads the annotations at run time.
"""

import json
import os
from urllib.request import Request, urlopen

from dagster import DefaultSensorStatus, RunFailureSensorContext, run_failure_sensor

VARIABLE = "CAMPUSGROUPS_ALERT_URL"
"""Environment variable with the webhook's URL; it turns the sensor on."""


@run_failure_sensor(
    name="alert",
    default_status=(
        DefaultSensorStatus.RUNNING if os.environ.get(VARIABLE) else DefaultSensorStatus.STOPPED
    ),
)
def alert(context: RunFailureSensorContext) -> None:
    """Post the reasons of a failed run."""
    text = "\n".join(reasons(context))
    body = json.dumps({"text": text}).encode()
    request = Request(  # noqa: S310 - the operator's own URL
        os.environ[VARIABLE], body, {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=30):  # noqa: S310
        context.log.info("Alert posted")


def reasons(context: RunFailureSensorContext) -> list[str]:
    """Return a line per failed step, with the stream and the reason."""
    lines = []
    for event in context.get_step_failure_events():
        details = event.step_failure_data.user_failure_data
        error = event.step_failure_data.error
        reason = details.description if details else None
        lines.append(f"{event.step_key}: {reason or (error.message.strip() if error else '')}")
    return lines or [context.failure_event.message or "The run failed."]
