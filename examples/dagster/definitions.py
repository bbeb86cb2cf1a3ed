"""Dagster definitions: one asset per group of streams and school, a job and a schedule.

Without `from __future__ import annotations`: Dagster reads the annotations at run time.
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

from examples.dagster.errors import StepFailedError, StepRefusedError
from examples.dagster.plan import Plan, School, load
from examples.dagster.steps import run

SCHOOL_TAG = "campusgroups/school"
"""Tag of every step with its school's code; the executor limits concurrency by it."""


def create_asset(plan: Plan, school: School, group: str) -> AssetsDefinition:
    """Return the asset for a group of streams of a school."""

    @asset(
        name=group,
        key_prefix=[school.schema],
        group_name=school.schema,
        description=f"Streams of the Meltano job {group!r}, of {school.code}.",
        op_tags={SCHOOL_TAG: school.code},
        retry_policy=RetryPolicy(max_retries=plan.retries, delay=plan.retry_delay_seconds),
    )
    def load_group(context: AssetExecutionContext) -> None:
        context.log.info("Maximum concurrent exports: %d", plan.exports_per_worker(school))
        try:
            run(plan, school, group)
        except StepFailedError as error:
            can_retry = not isinstance(error, StepRefusedError)
            raise Failure(description=str(error), allow_retries=can_retry) from None

    return load_group


def create_definitions(plan: Plan) -> Definitions:
    """Return the definitions for a plan."""
    limits = [
        {"key": SCHOOL_TAG, "value": school.code, "limit": plan.workers_for(school)}
        for school in plan.schools
    ]
    # A fork server imports Dagster once instead of once per step.
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
            create_asset(plan, school, group) for school in plan.schools for group in plan.groups
        ],
        jobs=[job],
        schedules=[ScheduleDefinition(job=job, cron_schedule="0 5 * * *")],
    )


defs = create_definitions(load())
