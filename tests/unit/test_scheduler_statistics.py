"""Counts, rings of times, percentiles."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.runtime.scheduler_records import SchedulerOptions
from edgeflow.runtime.scheduler_statistics import Percentiles, Samples, Tally


def test_nearest_ranks() -> None:
    samples = Samples(200)
    for i in range(100):
        samples.add(float(100 - i))
    assert samples.percentiles() == Percentiles(100, 50.0, 90.0, 99.0, 100.0)


def test_of_nothing_and_of_one() -> None:
    samples = Samples(4)
    assert samples.percentiles() == Percentiles(0, 0.0, 0.0, 0.0, 0.0)
    samples.add(3.0)
    assert samples.percentiles() == Percentiles(1, 3.0, 3.0, 3.0, 3.0)


def test_only_the_latest_count() -> None:
    samples = Samples(4)
    for value in [100.0, 90.0, 1.0, 2.0, 3.0, 4.0]:
        samples.add(value)
    assert samples.percentiles() == Percentiles(6, 2.0, 4.0, 4.0, 4.0)


def test_states_add_up() -> None:
    tally = Tally(8)
    for i in range(5):
        tally.arrive()
    tally.start(2.0)
    tally.start(4.0)
    tally.start(6.0)
    tally.end('done', 10.0)
    tally.end('cancelled', 3.0)
    tally.end('timed-out', None)
    record = tally.record()
    assert (record.submitted, record.queued, record.running) == (5, 1, 1)
    assert (record.done, record.failed, record.cancelled, record.timed_out) == (1, 0, 1, 1)
    assert (record.wait.count, record.wait.p50, record.run.count, record.run.highest) == (3, 4.0, 1, 10.0)
    tally.requeue()
    assert (tally.record().queued, record.queued) == (2, 1)


NOT_A_NUMBER = float('nan')


@pytest.mark.parametrize(('options', 'named'), [
    (lambda: SchedulerOptions(max_concurrent=0), 'max_concurrent'),
    (lambda: SchedulerOptions(max_per_model=0), 'max_per_model'),
    (lambda: SchedulerOptions(batch_size=1.5), 'batch_size'),
    (lambda: SchedulerOptions(samples=-1), 'samples'),
    (lambda: SchedulerOptions(aging=-1.0), 'aging'),
    (lambda: SchedulerOptions(aging=NOT_A_NUMBER), 'aging'),
    (lambda: SchedulerOptions(timeout=float('inf')), 'timeout'),
    (lambda: SchedulerOptions(batch_wait=-0.5), 'batch_wait'),
])
def test_options_out_of_range(options: object, named: str) -> None:
    with pytest.raises(EdgeflowError, match=named) as e:
        options()
    assert e.value.code == 'invalid-argument'
