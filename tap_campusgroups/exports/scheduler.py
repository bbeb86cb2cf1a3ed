"""Exports side by side: the one module that knows threads.

Workers run the exports of all selected streams ahead of the stream whose turn it is, and put their
pages into one buffer. The main thread takes the pages, task by task in their order; so the output
is the same whatever the concurrency. What an export is, and HTTP, is the task's business.

* At most `cap` exports are queued or running at the server, started in the order of the tasks. One
  leaves the cap as soon as it has run, before its other pages are read. A server that is asked too
  much (429) lowers the cap for the rest of the run.
* Pages that nobody has taken yet, and estimates of those on their way, hold `MAX_BUFFERED_BYTES`; no task
  starts while there is no room for its first page. The task whose turn it is may always start, and
  fetch one page more, or all would wait for each other.
* A failure stays with its task until its turn: what comes before it is emitted first.
* Until the server has accepted an export, and with a cap of 1, no task starts before its turn.
"""

from __future__ import annotations

import enum
import time
import typing as t
from collections import Counter, deque
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from threading import Condition, Event, Thread

from tap_campusgroups.exceptions import ExportsStoppedError
from tap_campusgroups.shutdown import CHECK_INTERVAL, SHUTDOWN

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence

    from tap_campusgroups.exports.export import Page

MAX_WORKERS: t.Final = 32
"""Exports under way at most, those included that have run and whose pages are not all fetched."""

MAX_BUFFERED_BYTES: t.Final = 48 * 2**20
"""Bytes of pages that are fetched ahead, over all streams."""

PAGE_ESTIMATE: t.Final = 2**20
"""Bytes that the first page of an export is taken for, unless the run has seen a larger page."""

PROGRESS_INTERVAL: t.Final = 60.0
"""Seconds between two lines about the run."""

SECONDS_TO_STOP: t.Final = 1.0
"""Time that the workers have to end when a run does, in seconds."""


def wait(event: Event, seconds: float) -> bool:
    """Wait for an event, but not longer than some seconds; tests let time pass here."""
    return event.wait(seconds)


class JobStatus(enum.Enum):
    """Where an export is."""

    WAITING = "to be submitted"
    AT_SERVER = "queued or running"
    READING = "has run"
    DONE = "done"


@dataclass(eq=False)
class ExportJob:
    """One export, as the scheduler sees it.

    Attributes:
        stream: Name of its stream.
        fetch: Runs the export in a worker; yields its pages.
        rows: Rows that the main thread has counted so far.
        counts: What the task has counted so far, by name.
        stage: Like all that follows, kept by the scheduler.
        since: When the stage began, in seconds of the monotonic clock.
        query_id: Once the server has accepted the export.
        pages: Fetched, and not taken yet.
        reserved: Bytes that the page on its way is taken for.
        number: Position among the tasks of its scheduler, from 0.
        error: What ended the export, for the main thread.
        is_dropped: Whether nobody wants its pages any more.
    """

    stream: str
    fetch: Callable[[Control], Generator[Page, None, None]]
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    stage: JobStatus = field(default=JobStatus.WAITING, init=False)
    since: float = field(default=0.0, init=False)
    query_id: str | None = field(default=None, init=False)
    pages: deque[Page] = field(default_factory=deque, init=False)
    reserved: int = field(default=0, init=False)
    number: int = field(default=0, init=False)
    error: BaseException | None = field(default=None, init=False)
    is_dropped: bool = field(default=False, init=False)


class Control(t.Protocol):
    """What a task may ask of the scheduler while it runs, in its worker.

    Attributes:
        counts: The task's.
    """

    @property
    def counts(self) -> Counter[str]:
        """The task's, to count in."""

    def acquire_slot(self) -> None:
        """Wait until the task may have an export at the server, if it has none there.

        Raises:
            ExportsStoppedError: If the run is broken off meanwhile.
        """

    def pause(self, seconds: float) -> None:
        """Wait some seconds.

        Raises:
            ExportsStoppedError: If the run is broken off meanwhile.
        """

    def accepted(self, query_id: str) -> None:
        """Tell that the server has accepted the export."""

    def ended(self) -> None:
        """Tell that the export is at the server no more, though its pages did not come."""

    def leave_running(self) -> bool:
        """Leave the export at the server, where it counts against the cap for the rest of the run.

        Returns:
            Whether there is another place under the cap for what is to be submitted instead; if
            not, nothing has changed.
        """

    def reduce_concurrency(self) -> bool:
        """Tell that the server does not want another export now; wait for the end of one.

        Returns:
            Whether to submit again now; if not, no other export of this run is at the server.

        Raises:
            ExportsStoppedError: If the run is broken off meanwhile.
        """


class Scheduler:
    """Runs tasks ahead of the main thread.

    Attributes:
        tasks: In their order.
    """

    def __init__(
        self,
        tasks: Sequence[ExportJob],
        *,
        cap: int,
        around_worker: Callable[[], AbstractContextManager[object]],
        logger: logging.Logger,
    ) -> None:
        """Plan the tasks; nothing runs before the first `pages`.

        Args:
            tasks: In the order in which `pages` will be asked for.
            cap: Exports that may be queued or running at the server.
            around_worker: Makes what each worker thread lives in.
            logger: For the run's progress.
        """
        self.tasks = tuple(tasks)
        for number, task in enumerate(tasks):
            task.number = number
        self._pending = deque(tasks)
        self._cap = cap
        self._is_sequential = cap == 1
        self._around_worker = around_worker
        self._logger = logger
        self._stop = Event()
        self._changed = Condition()
        # All below is guarded by `_changed`.
        self._threads: list[Thread] = []
        self._idle = 0
        self._counts = Counter({JobStatus.WAITING: len(self.tasks)})
        self._at_server: dict[int, ExportJob] = {}  # by number
        self._returning: list[ExportJob] = []
        self._is_proven = False
        self._buffered_bytes = 0
        self._prefetched = 0
        self._largest = PAGE_ESTIMATE
        self._turn: ExportJob | None = None
        self._turn_began = 0.0
        self._failure: BaseException | None = None

    # The main thread's side

    def expects(self, task: ExportJob) -> bool:
        """Say whether the pages of a task are still to be asked for."""
        is_ours = task.number < len(self.tasks) and self.tasks[task.number] is task
        is_later = self._turn is None or task.number > self._turn.number
        return is_ours and is_later and not self._stop.is_set()

    def pages(self, task: ExportJob) -> Iterator[Page]:
        """Take the pages of a task; the tasks are asked for in their order.

        After the last task the workers are at their end, and joined.

        Args:
            task: The next task.

        Yields:
            Its pages, in the order of the service.

        Raises:
            BaseException: What the task raised in its worker, after the pages before it.
            ExportsStoppedError: After `close`.
            TerminationSignal: After a signal.
        """
        with self._changed:
            if self._turn is None:
                self._start(self._report, "progress")
                SHUTDOWN.log_abandoned = self._log_abandoned
            self._turn, self._turn_began = task, time.monotonic()
            self._notify()
        while (page := self._take(task)) is not None:
            yield page
        self._tell(task)
        if task is self.tasks[-1]:
            self.close()

    def _take(self, task: ExportJob) -> Page | None:
        with self._changed:
            SHUTDOWN.check()
            while not task.pages:
                if self._failure is not None:
                    raise self._failure
                if task.stage is JobStatus.DONE:
                    if task.error is not None:
                        raise task.error
                    return None
                self._wait_for_change(CHECK_INTERVAL)
                SHUTDOWN.check()
            page = task.pages.popleft()
            self._free(page.size)
            self._changed.notify_all()
            return page

    @property
    def is_proven(self) -> bool:
        """Whether the server has accepted an export of this run."""
        return self._is_proven

    def drop(self, tasks: Collection[ExportJob]) -> None:
        """Forget tasks whose pages will not be asked for: those not started do not start.

        Args:
            tasks: All that are left of the stream whose turn it is; so no task of another stream
                that has not started comes before them.
        """
        with self._changed:
            for task in tasks:
                task.is_dropped = True
                self._free(sum(page.size for page in task.pages))
                task.pages.clear()
            while self._pending and self._pending[0].is_dropped:
                self._enter(self._pending.popleft(), JobStatus.DONE)
            self._notify()

    def close(self) -> None:
        """End the workers, and log what is left behind. May be repeated; the main thread's.

        A worker that waits for an answer is not waited for longer than `SECONDS_TO_STOP`: it ends
        with its request, or with the process.
        """
        with self._changed:
            if self._stop.is_set():
                return
            self._stop.set()
            self._pending.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._log_abandoned()
        SHUTDOWN.log_abandoned = None
        if running := sum(thread.is_alive() for thread in self._threads):
            self._logger.warning(
                "%d requests were still running at shutdown and were abandoned", running
            )
        for task in self.tasks:
            task.pages.clear()

    def _log_abandoned(self) -> None:
        # Without the lock: the watchdog calls it when the main thread does not get on.
        for task in self.tasks:
            if task.stage is JobStatus.AT_SERVER and task.query_id is not None:
                self._log_left(task)

    def _log_left(self, task: ExportJob) -> None:
        self._logger.info(
            "Stream '%s': its export is left at the server, queryId %s",
            *(task.stream, task.query_id),
        )

    # The workers' side

    def _start(self, run: Callable[[], None], name: str) -> None:
        thread = Thread(target=run, name=f"tap-campusgroups-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        try:
            with self._around_worker():
                while (task := self._next_task()) is not None:
                    self._run(task)
        except ExportsStoppedError:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next_task(self) -> ExportJob | None:
        with self._changed:
            while self._pending:
                if self._may_start(self._pending[0]):
                    task = self._pending.popleft()
                    self._enter_slot(task)
                    return task
                self._idle += 1
                try:
                    self._wait_for_change()
                finally:
                    self._idle -= 1
            return None

    def _run(self, task: ExportJob) -> None:
        error: BaseException | None = None
        try:
            with closing(task.fetch(self._control(task))) as pages:
                for page in pages:
                    self._store(task, page)
        except ExportsStoppedError:
            if not task.is_dropped:
                raise
        except BaseException as caught:  # noqa: BLE001 - raised again in the main thread
            caught.add_note(f"In the export of stream '{task.stream}'.")
            error = caught
        with self._changed:
            task.error = error
            self._release_slot(task, JobStatus.DONE)
            self._reserve(task, 0)

    def _control(self, task: ExportJob) -> Control:
        return _TaskControl(
            counts=task.counts,
            acquire_slot=partial(self._take_place, task),
            pause=self._pause,
            accepted=partial(self._accepted, task),
            ended=partial(self._ended, task),
            leave_running=partial(self._leave_running, task),
            reduce_concurrency=partial(self._make_room, task),
        )

    def _pause(self, seconds: float) -> None:
        if wait(self._stop, seconds):
            raise ExportsStoppedError

    def _accepted(self, task: ExportJob, query_id: str) -> None:
        with self._changed:
            task.query_id = query_id
            self._is_proven = True
            self._notify()

    def _ended(self, task: ExportJob) -> None:
        with self._changed:
            task.query_id = None
            self._release_slot(task, JobStatus.WAITING)

    def _leave_running(self, task: ExportJob) -> bool:
        with self._changed:
            if self._cap == 1:
                return False
            self._cap -= 1
            self._log_left(task)
            task.query_id = None
            self._release_slot(task, JobStatus.WAITING)
            return True

    def _store(self, task: ExportJob, page: Page) -> None:
        """Put a page into the buffer, and wait until the next one may be fetched."""
        with self._changed:
            self._release_slot(task, JobStatus.READING)
            if task.is_dropped:
                raise ExportsStoppedError
            task.pages.append(page)
            self._buffered_bytes += page.size
            self._prefetched += page.size
            self._largest = max(self._largest, page.size)
            self._reserve(task, 0)
            if page.is_last:
                return
            while self._buffered_bytes + page.size > MAX_BUFFERED_BYTES and (
                task is not self._turn or task.pages
            ):
                self._wait_for_change()
            self._reserve(task, page.size)

    def _release_slot(self, task: ExportJob, stage: JobStatus) -> None:
        if task.stage is not stage:
            self._enter(task, stage)
        self._notify()

    def _make_room(self, task: ExportJob) -> bool:
        with self._changed:
            if len(self._at_server) == 1:
                return False
            self._release_slot(task, JobStatus.WAITING)
            self._cap = min(self._cap, len(self._at_server))
            self._logger.info(
                "The service takes no more than %d exports at once; so does the rest of this run",
                self._cap,
            )
            self._take_place(task)
            return True

    def _take_place(self, task: ExportJob) -> None:
        with self._changed:
            if task.stage is JobStatus.AT_SERVER:
                return
            self._returning.append(task)
            self._returning.sort(key=attrgetter("number"))
            try:
                while len(self._at_server) >= self._cap or task is not self._returning[0]:
                    self._wait_for_change()
                    if task.is_dropped:
                        raise ExportsStoppedError
            finally:
                self._returning.remove(task)
            self._enter_slot(task)

    def _enter_slot(self, task: ExportJob) -> None:
        self._enter(task, JobStatus.AT_SERVER)
        self._reserve(task, self._largest)
        self._notify()

    # Both sides, with the lock held

    def _may_start(self, task: ExportJob) -> bool:
        if len(self._at_server) + len(self._returning) >= self._cap:
            return False
        if task is self._turn:
            return True
        has_room = self._buffered_bytes + self._largest <= MAX_BUFFERED_BYTES
        return has_room and self._is_proven and not self._is_sequential

    def _notify(self) -> None:
        """Let everybody look at what has changed, and see to it that somebody can start a task."""
        self._changed.notify_all()
        if (
            self._pending
            and not self._idle
            and len(self._threads) <= MAX_WORKERS  # one of them reports
            and self._may_start(self._pending[0])
            and not self._stop.is_set()
        ):
            self._start(self._work, f"worker-{len(self._threads)}")

    def _wait_for_change(self, longest: float | None = None) -> None:
        if self._stop.is_set():
            raise ExportsStoppedError
        self._changed.wait(longest)
        if self._stop.is_set():
            raise ExportsStoppedError

    def _enter(self, task: ExportJob, stage: JobStatus) -> None:
        """Begin a stage of a task."""
        self._counts.subtract((task.stage,))
        self._counts.update((stage,))
        task.stage, task.since = stage, time.monotonic()
        if stage is JobStatus.AT_SERVER:
            self._at_server[task.number] = task
        else:
            self._at_server.pop(task.number, None)

    def _free(self, size: int) -> None:
        self._buffered_bytes -= size
        self._prefetched -= size

    def _reserve(self, task: ExportJob, size: int) -> None:
        self._buffered_bytes += size - task.reserved
        task.reserved = size
        self._changed.notify_all()

    # Progress

    def _report(self) -> None:
        while not self._stop.wait(PROGRESS_INTERVAL):
            if (task := self._turn) is not None:
                self._tell(task, " so far")

    def _tell(self, task: ExportJob, so_far: str = "") -> None:
        """Log how the run gets on, in one line: what is read, what runs, what waits."""
        now = time.monotonic()
        with self._changed:
            running = {
                one.stream: round(now - one.since) for _, one in sorted(self._at_server.items())
            }
            counts, prefetched = self._counts.copy(), self._prefetched
            seconds = now - self._turn_began
        extra = {
            "rows": task.rows,
            "seconds": round(seconds, 3),
            "rows_per_second": round(task.rows / max(seconds, 0.001)),
            "exports_waiting": counts[JobStatus.WAITING],
            "exports_running": running,
            "exports_read": counts[JobStatus.READING],
            "exports_done": counts[JobStatus.DONE],
            "bytes_ahead": prefetched,
        }
        names = ", ".join(f"{name} {waited} s" for name, waited in running.items())
        self._logger.info(
            "Stream '%s': %s rows%s in %.1f s, %s rows/s; "
            "exports: %d wait, %d run%s, %d are read, %d are done; %.0f MiB ahead",
            task.stream,
            f"{task.rows:,}",
            so_far,
            seconds,
            f"{extra['rows_per_second']:,}",
            extra["exports_waiting"],
            len(running),
            f" ({names})" if names else "",
            extra["exports_read"],
            extra["exports_done"],
            prefetched / 2**20,
            extra=extra,
        )


@dataclass(frozen=True, slots=True)
class _TaskControl:
    """`Control` of one task: the scheduler's methods, bound to it."""

    counts: Counter[str]
    acquire_slot: Callable[[], None]
    pause: Callable[[float], None]
    accepted: Callable[[str], None]
    ended: Callable[[], None]
    leave_running: Callable[[], bool]
    reduce_concurrency: Callable[[], bool]
