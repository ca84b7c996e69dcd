"""What a model says to inputs that do not fit its declaration."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import ValueInfo
from edgeflow.runtime.model import check_inputs
from edgeflow.runtime.tensor import Tensor, tensor

DECLARED = [
    ValueInfo('input_ids', 'int64', ['batch', 'length']),
    ValueInfo('attention_mask', 'int64', ['batch', 'length']),
    ValueInfo('scores', 'float32', ['', 4]),
]


def good() -> dict[str, Tensor]:
    return {
        'input_ids': tensor([[1, 2, 3]], dtype='int64'),
        'attention_mask': tensor([[1, 1, 1]], dtype='int64'),
        'scores': tensor([[1, 2, 3, 4], [5, 6, 7, 8]]),
    }


def test_good_inputs_become_feeds_in_declared_order() -> None:
    given = good()
    scores = given.pop('scores')
    shuffled = {'scores': scores, 'attention_mask': given['attention_mask'], 'input_ids': given['input_ids']}
    feeds = check_inputs(DECLARED, shuffled)
    assert list(feeds.keys()) == ['input_ids', 'attention_mask', 'scores']
    assert feeds['scores'].shape == [2, 4]
    assert feeds['scores'].dtype == 'float32'


def test_missing_input_is_named() -> None:
    inputs = good()
    inputs.pop('attention_mask')
    with pytest.raises(EdgeflowError, match="input 'attention_mask' is missing") as e:
        check_inputs(DECLARED, inputs)
    assert e.value.code == 'invalid-input'


def test_unknown_input_comes_with_the_nearest_name() -> None:
    inputs = good()
    inputs['input_id'] = tensor([[1]], dtype='int64')
    with pytest.raises(EdgeflowError, match="no input 'input_id' .did you mean 'input_ids'") as e:
        check_inputs(DECLARED, inputs)
    assert e.value.code == 'invalid-input'


@pytest.mark.parametrize('name, data, dtype, message', [
    ('input_ids', [[1, 2, 3]], 'int32', 'expected int64 .batch, length.; got int32 .1, 3.'),
    ('input_ids', [1, 2, 3], 'int64', 'expected int64 .batch, length.; got int64 .3.'),
    ('scores', [[1, 2, 3]], 'float32', "expected float32 .., 4.; got float32 .1, 3."),
    ('attention_mask', [[1, 1]], 'int64', "input 'attention_mask': expected length = 3, as in 'input_ids'; got 2"),
    ('attention_mask', [[1, 1, 1], [1, 1, 1]], 'int64', "expected batch = 1, as in 'input_ids'; got 2"),
])
def test_wrong_type_or_dim_says_expected_and_got(name: str, data: list, dtype: str, message: str) -> None:
    inputs = good()
    inputs[name] = tensor(data, dtype=dtype)
    with pytest.raises(EdgeflowError, match=message) as e:
        check_inputs(DECLARED, inputs)
    assert e.value.code == 'invalid-input'
    assert e.value.details['name'] == name


def test_disposed_tensor_is_refused() -> None:
    inputs = good()
    inputs['scores'].dispose()
    with pytest.raises(EdgeflowError) as e:
        check_inputs(DECLARED, inputs)
    assert e.value.code == 'disposed'


def test_unknown_rank_takes_any_shape() -> None:
    feeds = check_inputs([ValueInfo('x', 'float32', None)], {'x': tensor([[[1]]])})
    assert feeds['x'].shape == [1, 1, 1]
