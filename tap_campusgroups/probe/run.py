"""One probe: its questions, its end, and the command line."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime

import click

from tap_campusgroups.cli import Command
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.exceptions import ServiceUnavailableError
from tap_campusgroups.probe import report
from tap_campusgroups.probe.client import (
    MAX_EXPORTS,
    MAX_REQUESTS,
    MAX_SECONDS,
    BudgetSpentError,
    ProbeClient,
    UnansweredError,
)
from tap_campusgroups.probe.questions import DEFAULT_STREAMS, Plan, questions
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Callable

REST_MINUTES: t.Final = 5.0
INTERRUPTED: t.Final = 130  # exit code


def probe(
    client: ProbeClient,
    plan: Plan,
    logger: logging.Logger,
    write: Callable[[dict[str, t.Any]], None] | None = None,
) -> tuple[dict[str, t.Any], int]:
    """Ask all questions; return the result and the exit code. `write` gets the result so far.

    Raises:
        CampusGroupsError: If the service cannot be probed.
    """
    asked = questions(plan)
    ended, code = "complete", 0
    try:
        for number, question in enumerate(asked, 1):
            logger.info("Probe: question=%d/%d %s", number, len(asked), question.text)
            try:
                question.ask(client, plan)
            except UnansweredError as error:
                reason = str(error)
                logger.warning("Probe: question %d not answered: %s", number, reason)
                if not client.exchanges:
                    msg = (
                        f"The service cannot be probed: no response ({reason}). Check the network, "
                        "school_code and api_url."
                    )
                    raise ServiceUnavailableError(msg) from None
            if write:
                write(report.contents(client, ended="not complete"))
    except BudgetSpentError as spent:
        ended = f"ended early ({spent})"
    except KeyboardInterrupt:
        ended, code = "interrupted", INTERRUPTED
    finally:
        client.close()
    result = report.contents(client, ended=ended)
    if write:
        write(result)
    return result, code


def _describe(plan: Plan) -> str:
    """Return the list of requests for `--dry-run`."""
    asked = questions(plan)
    lines = [f"{one.requests:4}  {one.text}" for one in asked]
    return "\n".join(
        [
            "Requests, at most, without repeated status polls:",
            *lines,
            f"{sum(one.requests for one in asked):4}  in all. Limits: {MAX_REQUESTS} requests, "
            f"{MAX_EXPORTS} exports at once, {MAX_SECONDS / 60:.0f} minutes"
            + f" and a wait of {plan.rest / 60:g} minutes" * bool(plan.rest)
            + ".",
        ]
    )


def _run(
    config: t.Any,
    path: str | None,
    stream: tuple[str, ...],
    wait: float,
    *,
    wrong_secret: bool,
    dry_run: bool,
) -> None:
    tap = TapCampusGroups(
        config=config.config, parse_env_config=config.parse_env, setup_mapper=False
    )
    streams = tuple(dict.fromkeys(stream)) or DEFAULT_STREAMS
    plan = Plan(streams, 60 * wait, wrong_secret, datetime.now(UTC).replace(microsecond=0))
    if dry_run:
        click.echo(_describe(plan))
        return
    file = report.Report(path) if path else None
    write = file.write if file else None
    result, code = probe(ProbeClient(tap.settings), plan, tap.logger, write)
    click.echo(report.table(result))
    click.echo(f"{result['requests']} requests, {result['ended']}: {report.counts(result)}.")
    if file:
        click.echo(f"Report: {file.path} and {file.path.with_suffix('.md')}")
    click.get_current_context().exit(code)


def command() -> click.Command:
    """Return the command line."""
    return Command(
        name="tap-campusgroups-probe",
        callback=_run,
        help=(
            "Ask the service small questions about what the tap assumes of it, and print what "
            "agrees and what differs. Nothing is written but the report, which has no values."
        ),
        params=[
            click.Option(
                ["--config"],
                multiple=True,
                callback=TapCampusGroups.cb_config,
                help="The tap's configuration file, or ENV for environment variables.",
            ),
            click.Option(["--report", "path"], help="JSON file to write; Markdown goes beside it."),
            click.Option(["--dry-run"], is_flag=True, help="List the requests and send none."),
            click.Option(
                ["--stream"],
                multiple=True,
                type=click.Choice(STREAMS[ApiVersion.V1_1]),
                help=(
                    "Stream to probe; may be repeated. The first gets all questions, the others "
                    f"are asked for rows (default: {', '.join(DEFAULT_STREAMS)})."
                ),
            ),
            click.Option(
                ["--wait"],
                type=click.FloatRange(0, 60),
                default=REST_MINUTES,
                show_default=True,
                help="Minutes before the last questions; 0 leaves them out.",
            ),
            click.Option(
                ["--wrong-secret"], is_flag=True, help="Also send one request with a wrong secret."
            ),
        ],
        logger=TapCampusGroups.logger,
    )
