"""Broken models: an answer or an EdgeflowError that says what is wrong, never another error, a trap, or a hang.

400 cases, 5,000 with --hypothesis-profile=nightly.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, note, settings

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import call_later, new_abort_controller
from edgeflow.runtime.model import create_model
from tests.conformance.in_cpython import given as as_tensor
from tests.conformance.malformed import broken
from tests.conformance.values import Value
from toolchain.wasm import build_wasm

CASES = 5000 if settings.default.max_examples > 200 else 400
SECONDS = 20
CODES = {'invalid-model', 'invalid-graph', 'unsupported-op', 'file-missing', 'invalid-input', 'invalid-argument', 'run-failed', 'out-of-memory', 'aborted'}


class Hung(BaseException):
    """It took too long."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hung(f'no answer within {seconds} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


async def run(model: bytes, inputs: dict[str, Value]) -> None:
    loaded = await create_model(memoryview(model), {}, 'wasm')
    try:
        # A loop may turn as often as a number says: it must let itself be cancelled.
        controller = new_abort_controller()
        forget = call_later(1000 * SECONDS / 4, controller.abort)
        results = await loaded.run({name: as_tensor(x) for name, x in inputs.items()}, signal=controller.signal)
        forget()
        assert list(results) == [info.name for info in loaded.outputs]
    finally:
        loaded.dispose()


def outcome(model: bytes, inputs: dict[str, Value]) -> str:
    try:
        with within(SECONDS):
            asyncio.run(run(model, inputs))
    except EdgeflowError as error:
        assert error.code in CODES, f'{error.code}: {error.message}'
        assert 'trapped' not in error.message, error.message
        assert error.message != ''
        return error.code
    return 'ran'


OUTCOMES: Counter[str] = Counter()


@pytest.fixture(scope='module', autouse=True)
def _binaries(say: Callable[[str], None]) -> Iterator[None]:
    build_wasm()
    yield
    say(f'broken models: {dict(OUTCOMES)}')


@settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2 ** 64))
def test_broken_models(seed: int) -> None:
    name, model, inputs = broken(Random(seed))
    note(f'{name}, seed {seed}')
    OUTCOMES[outcome(model, inputs)] += 1
