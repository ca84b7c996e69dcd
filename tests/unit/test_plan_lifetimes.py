"""Which steps a plan needs, when values are alive, and which results are made in place."""

from __future__ import annotations

from edgeflow.ir.graph import Node
from edgeflow.plan.lifetimes import Lifetime, find_lifetimes, live_groups, reuse_memory
from edgeflow.plan.values import NodeSteps, Pointer, Step, Value


def value(number: int, size: int = 64) -> Value:
    return Value(number, f'v{number}', 'uint8', [size])


def constant(number: int) -> Value:
    made = value(number)
    made.constant = True
    made.address = 4096
    return made


def node_steps(reads: list[Value], writes: list[Value]) -> NodeSteps:
    node = Node('Fake', '', f'node{writes[0].number}', [x.name for x in reads], [x.name for x in writes])
    return NodeSteps(node, writes, [Step('fake', [Pointer(x, 0) for x in reads + writes])])


def span(lives: dict[int, Lifetime], number: int) -> list[int]:
    return [lives[number].first, lives[number].last]


def test_values_live_from_first_to_last_step_that_names_them() -> None:
    a, b, c, d = value(1), value(2), value(3), value(4)
    groups = [node_steps([a], [b]), node_steps([b], [c]), node_steps([b, c], [d])]
    lives = find_lifetimes(groups, [a], [d])
    assert [span(lives, i) for i in [1, 2, 3, 4]] == [[-1, 0], [0, 2], [1, 2], [2, 3]]


def test_constants_have_no_lifetime() -> None:
    a, b, w = value(1), value(2), constant(3)
    lives = find_lifetimes([node_steps([a, w], [b])], [a], [b])
    assert 3 not in lives


def test_view_keeps_its_base_alive() -> None:
    a, b, view, d = value(1), value(2), value(3), value(4)
    view.base = b
    view.base_offset = 16
    groups = [node_steps([a], [b]), node_steps([a], [d]), node_steps([view], [d])]
    lives = find_lifetimes(groups, [a], [d])
    assert span(lives, 2) == [0, 2]
    assert 3 not in lives
    assert view.root() is b
    assert view.root_offset() == 16


def test_steps_that_reach_no_output_are_dropped() -> None:
    a, b, c, d = value(1), value(2), value(3), value(4)
    groups = [node_steps([a], [b]), node_steps([a], [c]), node_steps([c], [d])]
    assert [group.node.name for group in live_groups(groups, [b])] == ['node2']
    assert [group.node.name for group in live_groups(groups, [d])] == ['node3', 'node4']


def test_step_read_through_a_view_is_kept() -> None:
    a, b, view = value(1), value(2), value(3)
    view.base = b
    assert len(live_groups([node_steps([a], [b])], [view])) == 1


def test_result_is_made_in_place_where_the_source_dies() -> None:
    a, b, c = value(1), value(2), value(3)
    lives = find_lifetimes([node_steps([a], [b]), node_steps([b], [c])], [a], [c])
    reuse_memory(lives, [(c, b)])
    assert c.root() is b
    assert span(lives, 2) == [0, 2]
    assert 3 not in lives


def test_result_is_not_made_in_place_where_the_source_is_read_later() -> None:
    a, b, c, d = value(1), value(2), value(3), value(4)
    groups = [node_steps([a], [b]), node_steps([b], [c]), node_steps([b, c], [d])]
    lives = find_lifetimes(groups, [a], [d])
    reuse_memory(lives, [(c, b), (d, c)])
    assert c.base is None
    assert d.root() is c


def test_result_is_not_made_in_place_where_a_view_of_the_source_is_read_later() -> None:
    a, b, view, c, d = value(1), value(2), value(3), value(4), value(5)
    view.base = b
    groups = [node_steps([a], [b]), node_steps([b], [c]), node_steps([view, c], [d])]
    lives = find_lifetimes(groups, [a], [d])
    reuse_memory(lives, [(c, b)])
    assert c.base is None


def test_chain_of_results_in_place_shares_one_memory() -> None:
    a, b, c, d = value(1), value(2), value(3), value(4)
    groups = [node_steps([a], [b]), node_steps([b], [c]), node_steps([c], [d])]
    lives = find_lifetimes(groups, [a], [d])
    reuse_memory(lives, [(c, b), (d, c)])
    assert d.root() is b
    assert span(lives, 2) == [0, 3]


def test_first_wish_that_can_be_granted_wins() -> None:
    a, b, c, d = value(1), value(2), value(3), value(4)
    groups = [node_steps([a], [b]), node_steps([a], [c]), node_steps([b, c], [d])]
    lives = find_lifetimes(groups, [a], [d])
    reuse_memory(lives, [(d, b), (d, c)])
    assert d.root() is b
    assert 3 in lives


def test_constants_larger_results_and_outputs_of_the_graph_are_not_written_over() -> None:
    a, small, w, b, c = value(1), value(2, 32), constant(3), value(4), value(5)
    groups = [node_steps([a], [small]), node_steps([small, w], [b]), node_steps([a], [c])]
    lives = find_lifetimes(groups, [a], [b, c, a])
    reuse_memory(lives, [(b, small), (b, w), (c, a)])
    assert b.base is None
    assert c.base is None
