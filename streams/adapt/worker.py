"""adapt: turns the connectors' samples of `load` into commands that tell the shards how loaded each model is.

Runs on Faust: windowed, driven by a timer, and its only output is one idempotent record. `LoadController` decides,
`AppTasks` is what one app does, and here is one app followed by the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

from refrain.streams.adapt.app_tasks import AppTasks
from refrain.streams.adapt.event_loop import run_alone
from refrain.streams.adapt.faust_app import faust_app, is_member
from refrain.streams.adapt.load_controller import NAME, SOURCE, AdaptMetrics, LoadController
from refrain.streams.errors import ClusterFailed, RefrainError, WrongSetup
from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.outages import Waiting, asked_once, pauses
from refrain.streams.messaging.validation import without_quotes
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import PolicyWatch, keeping_last
from refrain.streams.runtime.topic_check import require_topics
from refrain.streams.settings import Settings

logger = logging.getLogger(__name__)

STOP_CHECK_S = 0.05
STOP_S = 10.0
"""How long an app may take to stop, and its tasks to end after it."""
MEMBERLESS_S = 75.0
"""How long an app may be no member of its group: longer than a rebalance takes."""
FAILURES_MAX = 5
"""Apps in a row that fail without ever having been assigned partitions, though the cluster answers."""
FAILING_S = 180.0
"""How long they fail until the process ends: what is wrong may be of this process."""
SOURCE_LOOK_S = 20.0
"""How often it is looked whether the topic that is read is still the same."""
CLUSTER_ERRORS = (KafkaError, ConnectionError)
MakeApp = Callable[[Settings, str], Any]
IsMember = Callable[[Any], bool]


class SourceChanged(Exception):
    """The topic that an app reads is another one by now, or has more partitions: a new app reads it. No outage."""


def run_adapt(context: WorkerContext, make_app: MakeApp = faust_app, is_member: IsMember = is_member) -> None:
    """Run until `stop`. The cluster must be that of the settings: the app that `make_app` makes connects by itself.

    An app that the cluster fails, or that is no member of its group any more (`is_member`), is followed by a new one.
    Raises WrongSetup for missing topics or a connection that Faust cannot make, ClusterFailed when one app after
    another fails though the cluster answers.
    """
    require_topics(context.cluster, NAME)
    controller = LoadController(context.settings.adapt, AdaptMetrics(context.metrics))
    watch = PolicyWatch(asked_once(context.cluster), keeping_last(context.metrics, NAME))
    with context.outages.waiting(f"the app of {NAME}") as wait:
        term = _Term(context, make_app, is_member, controller, watch, wait)
        pause = pauses()
        while not context.stop():
            try:
                run_alone(term.serve(), end_s=STOP_S)
                return
            except (SourceChanged, TopicMadeAnew):
                logger.warning("topic %s was made anew, or has more partitions: a new app reads it", SOURCE)
                continue
            except ClusterFailed as problem:
                wait.failed(problem)
                term.check_failures(problem)
            context.outages.pause(next(pause))
            # Before a new app is made, somebody must be there to take it.
            context.cluster.partitions(SOURCE)


class _Term:
    """Runs one app after another, on what the controller has seen so far."""

    def __init__(
        self,
        context: WorkerContext,
        make_app: MakeApp,
        is_member: IsMember,
        controller: LoadController,
        watch: PolicyWatch,
        wait: Waiting,
    ) -> None:
        self._context = context
        self._make_app = make_app
        self._is_member = is_member
        self._controller = controller
        self._watch = watch
        self._wait = wait
        self._failures = 0
        """Apps that failed since the last one that was assigned partitions."""
        self._failing_since_s = 0.0

    def check_failures(self, problem: ClusterFailed) -> None:
        """Count an app that failed. Raises what it failed of when too many did for too long."""
        now_s = self._context.outages.clock()
        self._failing_since_s = self._failing_since_s if self._failures else now_s
        self._failures += 1
        if self._failures >= FAILURES_MAX and now_s - self._failing_since_s >= FAILING_S:
            raise problem

    async def serve(self) -> None:
        """Run an app until `stop`. Raises ClusterFailed when the cluster fails it, and what else it crashed of."""
        app = self._make_app(self._context.settings, NAME)
        tasks = AppTasks(app, self._context, self._controller, self._watch, self._assigned)
        try:
            await self._run(app)
        finally:
            tasks.close()

    def _assigned(self) -> None:
        self._failures = 0
        self._wait.answered()
        self._context.ready()

    async def _run(self, app: Any) -> None:
        """Run the app until `stop`. Faust's own worker would take over signals and logging."""
        try:
            await app.start()
            await self._until_it_ends(app)
        except CLUSTER_ERRORS as problem:
            raise ClusterFailed(f"Faust cannot reach the cluster ({problem}): check that it is up") from problem
        finally:
            await _stopped(app)
        crash = app.crash_reason
        if isinstance(crash, RefrainError):
            raise crash
        if crash is not None:
            # Not what it says: that may quote a record.
            raise ClusterFailed(f"Faust stopped ({without_quotes(crash)}): start this worker again") from crash

    async def _until_it_ends(self, app: Any) -> None:
        """Until the worker is to stop or the app does.

        Raises ClusterFailed when it is no member of its group, SourceChanged when its topic is another one by now.
        """
        clock = self._context.outages.clock
        member_s = looked_s = clock()
        read = await self._source()
        while not self._context.stop() and not app.should_stop and app.crash_reason is None:
            await asyncio.sleep(STOP_CHECK_S)
            if self._is_member(app):
                member_s = clock()
            elif clock() - member_s > MEMBERLESS_S:
                raise ClusterFailed(f"{NAME} has not been a member of its group for {MEMBERLESS_S:.0f} s")
            if clock() - looked_s > SOURCE_LOOK_S:
                looked_s, found = clock(), await self._source()
                if read is not None and found is not None and found != read:
                    raise SourceChanged
                read = read or found

    async def _source(self) -> tuple[str, int] | None:
        """The id of the topic that is read, and its partitions; None where nobody tells them, or it is not there.

        A member whose topic was gone for a moment is given no partition of the new one.
        """
        cluster = asked_once(self._context.cluster)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                None, lambda: (cluster.topic_id(SOURCE), cluster.partitions(SOURCE))
            )
        except (ClusterFailed, WrongSetup):
            return None


async def _stopped(app: Any) -> None:
    """Stop the app; one that does not is left behind."""
    try:
        await asyncio.wait_for(app.stop(), STOP_S)
    except TimeoutError:
        logger.warning("Faust did not stop within %.0f s: it is left behind", STOP_S)
    except CLUSTER_ERRORS as problem:
        logger.debug("Faust did not stop in order: %s", problem)
