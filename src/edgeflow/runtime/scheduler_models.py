"""The models that tasks are scheduled for, and the lanes that they wait in."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_deferred
from edgeflow.host.port import Deferred
from edgeflow.runtime.scheduler_lanes import Job, Lane, ModelRecord, Run
from edgeflow.runtime.scheduler_records import SchedulerOptions
from edgeflow.runtime.scheduler_statistics import TaskStatistics
from edgeflow.runtime.scheduler_turns import Turns


class Models:
    """Models by id and lanes by key. A removed model stays until its last run has stopped, a lane until it has no models and runs."""

    def __init__(self, options: SchedulerOptions, turns: Turns) -> None:
        self._options: SchedulerOptions = options
        self._turns: Turns = turns
        self._models: dict[str, ModelRecord] = {}
        self._lanes: dict[str, Lane] = {}
        self._waiters: list[tuple[ModelRecord | None, Deferred]] = []

    def all(self) -> list[ModelRecord]:
        """The models in the order in which they came."""
        return list(self._models.values())

    def get(self, model_id: str) -> ModelRecord | None:
        """The record of a model that was heard of."""
        return self._models.get(model_id)

    def find(self, model_id: str) -> ModelRecord:
        """The record of a model, made if there is none. EdgeflowError 'disposed' if it is being removed."""
        model = self._models.get(model_id)
        if model is None:
            lane = self._find_lane(model_id, None)
            lane.models += 1
            model = ModelRecord(model_id, lane, self._options.samples)
            self._models[model_id] = model
        elif model.removed:
            raise EdgeflowError('disposed', f"expected a living model; '{model_id}' is being removed", {'model': model_id})
        return model

    def move(self, model: ModelRecord, name: str | None) -> None:
        """Put a model and what waits of it into the lane of this name, None: its own. Runs end where they began."""
        lane = self._find_lane(model.model_id, name)
        left = model.lane
        if lane is left:
            return
        lane.models += 1
        model.lane = lane
        for job in left.jobs():
            if job.model is model:
                left.remove(job)
                lane.add(job)
        left.models -= 1
        self._turns.refresh(left)
        self._turns.refresh(lane)
        self._drop_lane(left)

    def jobs(self, model: ModelRecord, runs: list[Run]) -> list[Job]:
        """All tasks of a model that have not ended, those that wait first."""
        jobs = [job for job in model.lane.jobs() if job.model is model]
        for run in runs:
            for job in run.jobs:
                if job.model is model and job.run is run:
                    jobs.append(job)
        return jobs

    def run_stopped(self, run: Run) -> None:
        """A run has given back its place in its lane."""
        run.lane.running -= 1
        run.model.unfinished -= 1
        self._turns.refresh(run.lane)
        self._drop_lane(run.lane)

    def tidy(self, model: ModelRecord) -> None:
        """Forget a removed model once nothing of it is left."""
        if model.removed and model.unfinished == 0 and self._models.get(model.model_id) is model:
            del self._models[model.model_id]
            model.lane.models -= 1
            self._drop_lane(model.lane)

    def statistics(self) -> dict[str, TaskStatistics]:
        """Counts and times by model id."""
        records: dict[str, TaskStatistics] = {}
        for model_id, model in self._models.items():
            records[model_id] = model.tally.record()
        return records

    async def idle(self, model_id: str | None) -> None:
        """Wait until nothing of a model, or of all, waits or runs."""
        model = None if model_id is None else self._models.get(model_id)
        if (model_id is not None and model is None) or self._is_idle(model):
            return
        waiter = new_deferred()
        self._waiters.append((model, waiter))
        await waiter.result()

    def wake_waiters(self) -> None:
        """Let those of idle() go on whose time has come."""
        if len(self._waiters) == 0:
            return
        waiters = self._waiters
        self._waiters = []
        for model, waiter in waiters:
            if self._is_idle(model):
                waiter.resolve(None)
            else:
                self._waiters.append((model, waiter))

    def _is_idle(self, model: ModelRecord | None) -> bool:
        if model is not None:
            return model.unfinished == 0
        for other in self._models.values():
            if other.unfinished > 0:
                return False
        return True

    def _find_lane(self, model_id: str, name: str | None) -> Lane:
        key = 'model ' + model_id if name is None else 'lane ' + name
        lane = self._lanes.get(key)
        if lane is None:
            lane = Lane(key, model_id if name is None else name, self._options.max_per_model)
            self._lanes[key] = lane
        return lane

    def _drop_lane(self, lane: Lane) -> None:
        if lane.models == 0 and lane.running == 0 and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
