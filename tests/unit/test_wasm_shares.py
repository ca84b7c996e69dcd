"""Runs that helpers share: what is divided, that results stay the same to the bit, and that a helper may go at any time."""

from __future__ import annotations

import pytest

from edgeflow.backends.contract import Feed
from edgeflow.backends.rests import Rests
from edgeflow.backends.wasm.crew import Link
from edgeflow.backends.wasm.executable import WasmExecutable
from edgeflow.backends.wasm.helper import Helper
from edgeflow.backends.wasm.load import load_wasm
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_list, array_of, gather, new_channel, open_port, pause
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo

ROWS = 128
WIDTH = 64
INNER = 520


def numbers(count: int, seed: int) -> list[float]:
    """Fractions between -1 and 1 without a pattern."""
    made: list[float] = []
    x = seed
    for _ in range(count):
        x = (x * 1103 + 12345) % 65536
        made.append((x - 32768) / 32768)
    return made


def weights(shape: list[int], seed: int) -> TensorData:
    count = 1
    for dim in shape:
        count = count * dim
    return TensorData('float32', shape, array_bytes(array_of('float32', numbers(count, seed))))


def feed_forward(also_output_hidden: bool = False) -> Graph:
    """y = relu(x U + a) W + b + x, twice."""
    nodes: list[Node] = []
    initializers: dict[str, TensorData] = {}
    at = 'x'
    for i in ['0', '1']:
        initializers['u' + i] = weights([WIDTH, INNER], 1)
        initializers['a' + i] = weights([INNER], 2)
        initializers['w' + i] = weights([INNER, WIDTH], 3)
        initializers['b' + i] = weights([WIDTH], 4)
        nodes.append(Node('MatMul', '', 'first' + i, [at, 'u' + i], ['p' + i]))
        nodes.append(Node('Add', '', 'bias' + i, ['p' + i, 'a' + i], ['q' + i]))
        nodes.append(Node('Relu', '', 'relu' + i, ['q' + i], ['h' + i]))
        nodes.append(Node('MatMul', '', 'second' + i, ['h' + i, 'w' + i], ['r' + i]))
        nodes.append(Node('Add', '', 'add' + i, ['r' + i, 'b' + i], ['s' + i]))
        nodes.append(Node('Add', '', 'skip' + i, ['s' + i, at], ['y' + i]))
        at = 'y' + i
    outputs = [ValueInfo(at, 'float32', ['rows', WIDTH])]
    if also_output_hidden:
        outputs.append(ValueInfo('h0', 'float32', ['rows', INNER]))
        outputs.append(ValueInfo('h1', 'float32', ['rows', INNER]))
    graph = Graph('feed forward', [ValueInfo('x', 'float32', ['rows', WIDTH])], outputs, nodes, initializers)
    graph.opsets = {'': 17}
    return graph


def feeds(rows: int) -> dict[str, Feed]:
    return {'x': Feed('float32', [rows, WIDTH], array_of('float32', numbers(rows * WIDTH, 5)))}


async def run(executable: WasmExecutable, rows: int, links: list[Link]) -> list[float]:
    executable.lend(links)
    results = await executable.run(feeds(rows), ['y1'])
    return array_list(results['y1'].data)


class Pair:
    """A leader's link and the helper at its other end, in one thread. busy: whether the helper has work of its own."""

    def __init__(self) -> None:
        ends = new_channel()
        self.busy: bool = False
        self.link: Link = Link(open_port(ends[0]))
        self.helper: Helper = Helper(open_port(ends[1]), lambda: self.busy)


async def divided(rows: int, shares: int = 2) -> WasmExecutable:
    executable = await load_wasm(feed_forward(), Rests(lambda: False, 'loading'), shares)
    await run(executable, rows, [])
    return executable


async def test_only_what_is_worth_it_is_divided() -> None:
    assert (await divided(ROWS)).divisible()
    assert not (await divided(8)).divisible()
    assert not (await divided(ROWS, 1)).divisible()


async def test_what_others_read_is_not_divided() -> None:
    executable = await load_wasm(feed_forward(True), Rests(lambda: False, 'loading'), 2)
    await executable.run(feeds(ROWS), ['y1', 'h0', 'h1'])
    assert not executable.divisible()
    await executable.run(feeds(ROWS), ['y1'])
    assert executable.divisible()


@pytest.mark.parametrize('shares', [2, 3, 4])
async def test_shares_add_up_to_the_whole(shares: int) -> None:
    whole = await run(await load_wasm(feed_forward(), Rests(lambda: False, 'loading'), 1), ROWS, [])
    parts = await run(await load_wasm(feed_forward(), Rests(lambda: False, 'loading'), shares), ROWS, [])
    largest = max([abs(x) for x in whole])
    for i in range(len(whole)):
        assert abs(whole[i] - parts[i]) < largest * 3e-6


async def test_results_do_not_depend_on_helpers() -> None:
    executable = await divided(ROWS, 3)
    alone = await run(executable, ROWS, [])
    pairs = [Pair(), Pair()]
    held = executable.memory().total
    assert await run(executable, ROWS, [pairs[0].link]) == alone
    assert executable.memory().total > held
    assert await run(executable, ROWS, [pairs[0].link, pairs[1].link]) == alone
    assert await run(executable, ROWS, [pairs[1].link]) == alone
    longer = await run(executable, ROWS * 2, [pairs[0].link, pairs[1].link])
    assert longer == await run(executable, ROWS * 2, [])
    assert await run(executable, ROWS, [pairs[0].link]) == alone


async def test_a_busy_helper_stays_away_and_comes_back() -> None:
    executable = await divided(ROWS)
    alone = await run(executable, ROWS, [])
    pair = Pair()
    pair.busy = True
    assert await run(executable, ROWS, [pair.link]) == alone
    pair.busy = False
    assert await run(executable, ROWS, [pair.link]) == alone


@pytest.mark.parametrize('turns', [0, 1, 2, 3, 5, 8])
async def test_a_helper_may_go_in_the_middle(turns: int) -> None:
    executable = await divided(ROWS)
    alone = await run(executable, ROWS, [])
    for lost in [False, True]:
        pair = Pair()
        await run(executable, ROWS, [pair.link])
        going = run(executable, ROWS, [pair.link])

        async def leave() -> list[float]:
            for _ in range(turns):
                await pause()
            if lost:
                pair.link.lose()
            else:
                pair.helper.step_away()
            return []

        results = await gather_both(going, leave())
        assert results == alone
        assert await run(executable, ROWS, [pair.link]) == alone
    assert executable.memory().total > 0


async def test_a_cancelled_run_leaves_nothing_behind() -> None:
    executable = await divided(ROWS)
    alone = await run(executable, ROWS, [])
    pair = Pair()
    executable.lend([pair.link])
    with pytest.raises(EdgeflowError) as e:
        await executable.run(feeds(ROWS), ['y1'], Cancelled())
    assert e.value.code == 'aborted'
    assert await run(executable, ROWS, [pair.link]) == alone


async def test_a_disposed_model_is_forgotten_by_its_helpers() -> None:
    executable = await divided(ROWS)
    pair = Pair()
    await run(executable, ROWS, [pair.link])
    executable.dispose()
    for _ in range(3):
        await pause()
    assert pair.helper.models() == 0
    other = await divided(ROWS)
    alone = await run(other, ROWS, [])
    assert await run(other, ROWS, [pair.link]) == alone
    assert pair.helper.models() == 1


class Cancelled:
    """contract.RunControl of a run that nobody wants any more."""

    times: None = None
    keeps: bool = False

    def cancelled(self) -> bool:
        return True

    def on_cancel(self, callback: object) -> None:
        pass


async def gather_both(first: object, second: object) -> list[float]:
    results = await gather([first, second])
    return results[0]
