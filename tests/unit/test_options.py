"""Unknown options and values are named, with what was meant."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.options import check_choice, check_options, edit_distance, nearest, public


@public
def scale(x: float, *, factor: float = 2.0, top_k: int = 1) -> float:
    """A public function for these tests."""
    return x * factor + top_k


@public
async def scale_later(x: float, *, factor: float = 2.0) -> float:
    """A public coroutine function for these tests."""
    return x * factor


class Scaler:
    """A class with a public method."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    @public
    def apply(self, x: float, *, offset: float = 0.0) -> float:
        """A public method."""
        return x * self.factor + offset


def test_known_options_pass() -> None:
    check_options([], ['device'], 'f')
    check_options(['device', 'dtype'], ['device', 'dtype'], 'f')


def test_the_nearest_option_is_named_and_all_are_listed() -> None:
    with pytest.raises(EdgeflowError) as e:
        check_options(['devise'], ['dtype', 'device', 'signal'], 'pipeline')
    assert e.value.code == 'unknown-option'
    assert e.value.message == "pipeline has no option 'devise'. Did you mean 'device'? Its options: dtype, device, signal"
    assert e.value.details['nearest'] == 'device'
    assert e.value.details['known'] == ['dtype', 'device', 'signal']


def test_a_name_like_none_gets_the_list_only() -> None:
    with pytest.raises(EdgeflowError) as e:
        check_options(['zzzzzz'], ['dtype'], 'f')
    assert e.value.message == "f has no option 'zzzzzz'. Its options: dtype"
    with pytest.raises(EdgeflowError) as e:
        check_options(['x'], [], 'f')
    assert e.value.message == "f has no option 'x'. Its options: none"


@pytest.mark.parametrize('case', [
    ['', '', 0], ['', 'abc', 3], ['kitten', 'sitting', 3], ['abc', 'abc', 0], ['ab', 'ba', 2], ['flaw', 'lawn', 2],
])
def test_edit_distance(case: list) -> None:
    assert edit_distance(case[0], case[1]) == case[2]
    assert edit_distance(case[1], case[0]) == case[2]


def test_nearest_overlooks_case_and_underscores() -> None:
    assert nearest('ON_PROGRESS', ['signal', 'onProgress']) == 'onProgress'
    assert nearest('topk', ['top_p', 'top_k']) == 'top_k'
    assert nearest('q', []) is None


def test_choices() -> None:
    check_choice('wasm', ['auto', 'wasm'], 'device')
    with pytest.raises(EdgeflowError) as e:
        check_choice('wasn', ['auto', 'wasm'], 'device')
    assert e.value.code == 'invalid-argument'
    assert e.value.message == "device: expected one of auto, wasm; got 'wasn' (did you mean 'wasm'?)"
    with pytest.raises(EdgeflowError) as e:
        check_choice(7, ['auto', 'wasm'], 'device')
    assert e.value.message == 'device: expected one of auto, wasm; got 7'


def test_public_functions_run() -> None:
    assert scale(3.0) == 7.0
    assert scale(3.0, factor=3.0, top_k=2) == 11.0
    assert Scaler(2.0).apply(3.0, offset=1.0) == 7.0


async def test_public_coroutines_run() -> None:
    assert await scale_later(3.0, factor=3.0) == 9.0
