"""What Dagster loads: an asset for each group of streams of each school, a job, a schedule.

No `from __future__ import annotations` here: Dagster reads the annotations.
"""

from multiprocessing import get_all_start_methods
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSelection,
    Definitions,
    Failure,
    RetryPolicy,
    ScheduleDefinition,
    asset,
    define_asset_job,
    multiprocess_executor,
)

from examples.dagster.plan import Plan, School, load
from examples.dagster.steps import StepFailedError, run

SCHOOL_TAG = "campusgroups/school"
"""Tag of every step, with the code of its school: the executor counts by it."""


def make_asset(plan: Plan, school: School, group: str) -> AssetsDefinition:
    """Make the asset of a group of streams of a school."""

    @asset(
        name=group,
        key_prefix=[school.schema],
        group_name=school.schema,
        description=f"Streams of the Meltano job {group!r}, of {school.code}.",
        op_tags={SCHOOL_TAG: school.code},
        retry_policy=RetryPolicy(max_retries=plan.retries, delay=plan.retry_delay_seconds),
    )
    def load_group(context: AssetExecutionContext) -> None:
        context.log.info("%d exports at once", plan.exports_of(school))
        try:
            run(plan, school, group)
        except StepFailedError as error:
            raise Failure(description=str(error)) from None

    return load_group


def definitions(plan: Plan) -> Definitions:
    """Make the definitions of a plan."""
    limits = [
        {"key": SCHOOL_TAG, "value": school.code, "limit": plan.workers_of(school)}
        for school in plan.schools
    ]
    # Dagster is imported once in place of once a step, where the system can do that.
    method: dict[str, Any] = (
        {"forkserver": {"preload_modules": [__name__]}}
        if "forkserver" in get_all_start_methods()
        else {"spawn": {}}
    )
    job = define_asset_job(
        "campusgroups",
        AssetSelection.all(),
        description="All groups of all schools.",
        executor_def=multiprocess_executor.configured(
            {
                "max_concurrent": plan.workers,
                "tag_concurrency_limits": limits,
                "start_method": method,
            }
        ),
    )
    return Definitions(
        assets=[
            make_asset(plan, school, group) for school in plan.schools for group in plan.groups
        ],
        jobs=[job],
        schedules=[ScheduleDefinition(job=job, cron_schedule="0 5 * * *")],
    )


defs = definitions(load())
