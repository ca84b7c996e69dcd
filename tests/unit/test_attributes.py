from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Node


def test_whole_numbers() -> None:
    node = Node('Slice', '', 'n', [], [], {'axis': -1, 'ends': [3, 9.2e18], 'size': 2.0})
    assert int_of(node, 'axis') == -1 and int_of(node, 'size') == 2 and int_of(node, 'none', 7) == 7
    ends = ints_of(node, 'ends')
    assert ends is not None and ends[0] == 3 and ends[1] > 9.1e18
    assert ints_of(node, 'none') is None


@pytest.mark.parametrize('value', [0.5, 1e30, -1e30])
def test_what_is_none_is_refused(value: float) -> None:
    node = Node('Slice', '', 'n', [], [], {'axis': value, 'ends': [value]})
    with pytest.raises(EdgeflowError, match="expected attribute 'axis' to be a whole number"):
        int_of(node, 'axis')
    with pytest.raises(EdgeflowError, match="expected attribute 'ends' to be a list of whole numbers"):
        ints_of(node, 'ends')
