"""Dagster definitions: one asset per stream and school, one step per group of streams.

Without `from __future__ import annotations`: Dagster reads the annotations at run time.
"""

import os
from collections.abc import Iterator
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import Any

import yaml
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    DagsterEventType,
    DagsterInstance,
    Definitions,
    ExecutorDefinition,
    Failure,
    MaterializeResult,
    MetadataValue,
    RetryPolicy,
    ScheduleDefinition,
    define_asset_job,
    multi_asset,
    multiprocess_executor,
)

from examples.dagster.alerts import alert
from examples.dagster.errors import StepFailedError, StepRefusedError
from examples.dagster.plan import Plan, School, load, streams_of
from examples.dagster.steps import Outcome, run

ROWS, FRESH = "rows", "fresh"
"""Names of the asset checks."""

CELERY_VARIABLE = "CAMPUSGROUPS_CELERY"
"""Environment variable with the path of `celery.yaml`, for steps on several machines."""

_LOST_STEP_SECONDS = 3600.0
"""How long a step waits for the processes that its killed predecessor has left behind."""


def create_assets(plan: Plan, school: School, group: str) -> AssetsDefinition:
    """Return the assets for the streams of a group, which one step loads."""
    streams = streams_of(group)

    @multi_asset(
        name=f"{school.schema}__{group}",
        description=f"Job {group!r} of meltano.yml for {school.code}.",
        specs=[
            AssetSpec(
                AssetKey([school.schema, stream]),
                group_name=school.schema,
                kinds={"postgres"},
                tags={"job": group},
                description=f"Stream `{stream}` of {school.code}, in the group {group!r}.",
            )
            for stream in streams
        ],
        check_specs=[
            AssetCheckSpec(check, asset=AssetKey([school.schema, stream]))
            for stream in streams
            for check in _checks(plan, stream)
        ],
        can_subset=False,
        pool=school.schema,
        retry_policy=RetryPolicy(max_retries=plan.retries, delay=plan.retry_delay_seconds),
    )
    def load_group(context: AssetExecutionContext) -> Iterator[Any]:
        try:
            exports = exports_per_step(school, context.instance)
            context.log.info("Maximum concurrent exports: %d", exports)
            patience = _LOST_STEP_SECONDS if _was_lost(context) else 0
            outcome = run(plan, school, group, exports, patience=patience)
        except StepFailedError as error:
            can_retry = not isinstance(error, StepRefusedError)
            raise Failure(description=str(error), allow_retries=can_retry) from None
        yield from _results(plan, school, outcome, streams)
        if outcome.problem:
            raise Failure(description=outcome.problem)

    return load_group


def exports_per_step(school: School, instance: DagsterInstance) -> int:
    """Return how many exports each step of a school may have; together they stay within the limit.

    Raises:
        StepRefusedError: If the school's pool has no limit, or one that is too high.
    """
    pools = instance.event_log_storage.get_pool_limits()
    steps = next((pool.limit for pool in pools if pool.name == school.schema), 0)
    if not 1 <= steps <= school.max_concurrent_exports:
        message = (
            f"The concurrency pool '{school.schema}' does not limit the steps of school"
            f" '{school.code}' to {school.max_concurrent_exports}. Copy"
            " examples/dagster/dagster.yaml to DAGSTER_HOME, or set the pool's limit."
        )
        raise StepRefusedError(message)
    return school.max_concurrent_exports // steps


def _checks(plan: Plan, stream: str) -> tuple[str, ...]:
    return (ROWS, FRESH) if stream in plan.max_age_hours else (ROWS,)


def _was_lost(context: AssetExecutionContext) -> bool:
    """Return whether the process of this step ended without a word, and this one replaces it."""
    starts = context.instance.all_logs(context.run_id, of_type=DagsterEventType.STEP_START)
    step = context.get_step_execution_context().step.key
    return len([start for start in starts if start.step_key == step]) > 1


def _results(
    plan: Plan, school: School, outcome: Outcome, declared: tuple[str, ...]
) -> Iterator[Any]:
    """Yield what the page shows of each stream."""
    for figures in outcome.streams:
        stream = figures["stream"]
        key = AssetKey([school.schema, stream])
        checks = [_check(name, key, figures, plan) for name in _checks(plan, stream)]
        if stream not in declared:  # a stream of API 1.1
            if stream in outcome.loaded:
                yield AssetMaterialization(key, metadata=_metadata(figures))
        elif stream in outcome.loaded:
            yield MaterializeResult(
                asset_key=key, metadata=_metadata(figures), check_results=checks
            )
        else:
            yield from checks


def _metadata(figures: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: figures[name] for name in ("rows", "exports", "retries")}
    metadata["issues"] = sum(_issues(figures).values())
    if figures["newest"]:
        metadata["newest updatedOn"] = MetadataValue.text(figures["newest"])
        metadata["age in hours"] = figures["age_hours"]
    return metadata


def _issues(figures: dict[str, Any]) -> dict[str, int]:
    """Return the numbers of values and rows that are not as documented, by kind."""
    return {
        "unknown fields": sum(field["count"] for field in figures["unknown"].values()),
        "type mismatches": sum(figures["type_mismatches"].values()),
        "pages with invalid Unicode": figures["pages_with_invalid_unicode"],
        "rows without key": figures["rows_without_key"],
    }


def _check(name: str, key: AssetKey, figures: dict[str, Any], plan: Plan) -> AssetCheckResult:
    if name == FRESH:
        age, limit = figures["age_hours"], plan.max_age_hours[figures["stream"]]
        # Each run reads again what changed up to `lookback_hours` before the bookmark.
        text = "no rows within the lookback" if age is None else f"newest row: {age} hours old"
        return AssetCheckResult(
            passed=age is not None and age <= limit,
            asset_key=key,
            check_name=name,
            severity=AssetCheckSeverity.WARN,
            description=f"{text}, limit: {limit} hours",
        )
    found = {kind: count for kind, count in _issues(figures).items() if count}
    text = figures["error"] or ", ".join(f"{kind}: {count}" for kind, count in found.items())
    return AssetCheckResult(
        passed=not text,
        asset_key=key,
        check_name=name,
        severity=AssetCheckSeverity.ERROR if figures["error"] else AssetCheckSeverity.WARN,
        description=text or f"{figures['rows']} rows without issues",
    )


def create_executor(plan: Plan) -> ExecutorDefinition:
    """Return the executor of every run, also of those that the page starts."""
    if path := os.environ.get(CELERY_VARIABLE):
        # In the dependency group `machines`.
        from dagster_celery import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
            celery_executor,
        )

        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        configured: ExecutorDefinition = celery_executor.configured(settings["execution"]["config"])
        return configured
    # A fork server imports Dagster once instead of once per step.
    method: dict[str, Any] = (
        {"forkserver": {"preload_modules": [__name__]}}
        if "forkserver" in get_all_start_methods()
        else {"spawn": {}}
    )
    return multiprocess_executor.configured(
        {"max_concurrent": plan.workers, "start_method": method}
    )


def create_definitions(plan: Plan) -> Definitions:
    """Return the definitions for a plan."""
    assets = [
        create_assets(plan, school, group) for school in plan.schools for group in plan.groups
    ]
    if any(school.models_schema for school in plan.schools):
        from examples.dagster.models import create_models  # noqa: PLC0415 - imports dagster-dbt

        assets += [create_models(plan, school) for school in plan.schools if school.models_schema]
    job = define_asset_job(
        "campusgroups", AssetSelection.all(), description="All groups of all schools."
    )
    return Definitions(
        assets=assets,
        jobs=[job],
        schedules=[ScheduleDefinition(job=job, cron_schedule="0 5 * * *")],
        sensors=[alert],
        executor=create_executor(plan),
    )


defs = create_definitions(load())
