"""Loop, If, Scan and SequenceMap: a subgraph runs as often as data says (ONNX Operators.md)."""

from __future__ import annotations

from edgeflow.backends.wasm.more.values import Call, Datum, Held, InterpretFlow
from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Graph, ValueInfo
from edgeflow.plan.values import Value


async def _if(c: Call) -> list[Datum | None]:
    return _outputs(await c.body('then_branch' if c.scalar(0) != 0 else 'else_branch', []))


def _outputs(values: list[Datum]) -> list[Datum | None]:
    return [value for value in values]


async def _loop(c: Call) -> list[Datum | None]:
    body = c.graph('body')
    trips = c.scalar(0) if c.has(0) else -1
    going = not c.has(1) or c.scalar(1) != 0
    states = [c.datum(i) for i in range(2, len(c.inputs))]
    count = len(states)
    if len(body.inputs) != count + 2 or len(body.outputs) < count + 1:
        raise c.invalid(f'a body with {count + 2} inputs and {count + 1} or more outputs', f'{len(body.inputs)} and {len(body.outputs)}')
    if trips < 0 and _never_ends(body):
        raise c.invalid('a trip count or a condition that changes', 'a loop without an end')
    made: list[list[Value]] = [[] for _ in body.outputs[count + 1:]]
    step = 0
    while going and (step < trips or not c.has(0)):
        results = await c.body('body', [c.t.make('int64', [], [step]), c.t.make('bool', [], [1]), *states])
        going = _is_true(c, results[0])
        states = results[1:count + 1]
        for i in range(len(made)):
            made[i].append(_tensor(c, results[count + 1 + i]))
            c.held.append(results[count + 1 + i])
        step = step + 1
    outputs: list[Datum | None] = _outputs(states)
    for i in range(len(made)):
        outputs.append(_stacked(c, made[i], 0, body.outputs[count + 1 + i]))
    return outputs


def _never_ends(body: Graph) -> bool:
    """Whether the condition that the body gives is its own input or a constant."""
    name = body.outputs[0].name
    if name == body.inputs[1].name or name in body.initializers:
        return True
    for node in body.nodes:
        if name in node.outputs:
            return node.key() == 'Identity' and node.inputs[0] == body.inputs[1].name
    return False


def _is_true(c: Call, value: Datum) -> bool:
    tensor = _tensor(c, value)
    if tensor.dtype != 'bool' or tensor.count() != 1:
        raise c.fail('a condition of one bool', f'{tensor.dtype} {tensor.shape}')
    return c.t.ints(tensor)[0] != 0


def _tensor(c: Call, value: Datum) -> Value:
    if isinstance(value, Held):
        raise c.invalid('a tensor as output of the body', f'a {value.kind}')
    return value


def _stacked(c: Call, parts: list[Value], axis: int, info: ValueInfo) -> Value:
    """The parts along a new axis; if there are none, what the graph declares of them."""
    if len(parts) == 0:
        dims = [dim if isinstance(dim, int) else 0 for dim in info.shape] if info.shape is not None else []
        return c.t.make('int32' if info.dtype == 'string' else info.dtype, [0] + dims, [])
    first = parts[0]
    at = c.axis(axis, len(first.shape) + 1)
    rows: list[Value | None] = []
    for part in parts:
        if part.shape != first.shape or part.dtype != first.dtype:
            raise c.fail(f'{first.dtype} {first.shape} from every turn', f'{part.dtype} {part.shape}')
        rows.append(c.t.reshaped(part, part.shape[:at] + [1] + part.shape[at:]))
    return c.t.apply('Concat', rows, {'axis': at})


async def _scan(c: Call) -> list[Datum | None]:
    """From opset 9 on. Version 8 scans each row of a batch by itself (_batched_scan)."""
    if c.opset < 9:
        return await _batched_scan(c)
    scanned = int_of(c.node, 'num_scan_inputs', 1)
    count = len(c.inputs) - scanned
    if scanned < 1 or count < 0:
        raise c.invalid(f'1 to {len(c.inputs)} scan inputs', f'{scanned}')
    states = [c.datum(i) for i in range(count)]
    sources = [c.value(count + i) for i in range(scanned)]
    outputs = len(c.graph('body').outputs) - count
    return await _scan_rows(c, states, sources, [
        _settings(c, 'scan_input_axes', scanned), _settings(c, 'scan_input_directions', scanned),
        _settings(c, 'scan_output_axes', outputs), _settings(c, 'scan_output_directions', outputs),
    ])


def _settings(c: Call, name: str, count: int) -> list[int]:
    given = ints_of(c.node, name)
    if given is None:
        return [0] * count
    if len(given) != count:
        raise c.invalid(f"{count} numbers as '{name}'", f'{given}')
    return given


async def _scan_rows(c: Call, states: list[Datum], sources: list[Value], settings: list[list[int]]) -> list[Datum | None]:
    """settings: axes and directions of the scan inputs, then of the scan outputs."""
    body = c.graph('body')
    count = len(states)
    axes = [c.axis(settings[0][i], len(sources[i].shape)) for i in range(len(sources))]
    length = sources[0].shape[axes[0]]
    for i in range(len(sources)):
        if sources[i].shape[axes[i]] != length:
            raise c.fail(f'scan inputs of length {length}', f'shape {sources[i].shape}')
    if len(body.inputs) != count + len(sources) or len(body.outputs) < count:
        raise c.invalid(f'a body with {count + len(sources)} inputs', f'{len(body.inputs)}')
    made: list[list[Value]] = [[] for _ in body.outputs[count:]]
    for step in range(length):
        given: list[Datum] = states[:]
        for i in range(len(sources)):
            at = length - 1 - step if settings[1][i] == 1 else step
            given.append(c.t.apply('Gather', [sources[i], c.t.make('int64', [], [at])], {'axis': axes[i]}))
        results = await c.body('body', given)
        states = results[:count]
        for i in range(len(made)):
            made[i].append(_tensor(c, results[count + i]))
            c.held.append(results[count + i])
    outputs: list[Datum | None] = _outputs(states)
    for i in range(len(made)):
        if settings[3][i] == 1:
            made[i].reverse()
        outputs.append(_stacked(c, made[i], settings[2][i], body.outputs[count + i]))
    return outputs


async def _batched_scan(c: Call) -> list[Datum | None]:
    scanned = int_of(c.node, 'num_scan_inputs')
    count = len(c.inputs) - 1 - scanned
    if scanned < 1 or count < 0:
        raise c.invalid(f'1 to {len(c.inputs) - 1} scan inputs', f'{scanned}')
    batch = c.value(1).shape[0]
    lengths = c.ints(0) if c.has(0) else []
    rows: list[list[Value | None]] = []
    directions = _settings(c, 'directions', scanned)
    made = len(c.graph('body').outputs) - count
    for row in range(batch):
        states: list[Datum] = [_row(c, c.value(1 + i), row) for i in range(count)]
        sources = [_row(c, c.value(1 + count + i), row) for i in range(scanned)]
        length = sources[0].shape[0]
        if len(lengths) > 0 and lengths[row] < length:
            sources = [_first(c, source, lengths[row]) for source in sources]
        results = await _scan_rows(c, states, sources, [[0] * scanned, directions, [0] * made, [0] * made])
        for i in range(len(results)):
            found: Datum | None = results[i]
            if not isinstance(found, Value):
                raise c.invalid('tensors as outputs of the body', 'another kind')
            result: Value = found
            if len(rows) <= i:
                rows.append([])
            if i >= count and result.shape[0] < length:
                rest = c.t.apply('Expand', [c.t.make(result.dtype, [], [0]), c.t.make('int64', [len(result.shape)], [length - result.shape[0]] + result.shape[1:])])
                result = c.t.apply('Concat', [result, rest], {'axis': 0})
            rows[i].append(c.t.reshaped(result, [1] + result.shape))
            c.held.append(result)
    return [c.t.apply('Concat', parts, {'axis': 0}) for parts in rows]


def _row(c: Call, source: Value, row: int) -> Value:
    return c.t.apply('Gather', [source, c.t.make('int64', [], [row])], {'axis': 0})


def _first(c: Call, source: Value, count: int) -> Value:
    return c.t.apply('Slice', [source, c.t.make('int64', [1], [0]), c.t.make('int64', [1], [count]), c.t.make('int64', [1], [0])])


async def _sequence_map(c: Call) -> list[Datum | None]:
    count = len(c.items(0))
    results: list[Held] = [Held('sequence', []) for _ in c.graph('body').outputs]
    for result in results:
        c.held.append(result)
    for step in range(count):
        given: list[Datum] = []
        for i in range(len(c.inputs)):
            source = c.datum(i)
            if isinstance(source, Value):
                given.append(source)
            else:
                items = c.items(i)
                if len(items) != count:
                    raise c.fail(f'sequences of {count} items', f'{len(items)}')
                given.append(items[step])
        made = await c.body('body', given)
        for i in range(len(results)):
            results[i].items.append(made[i])
    return [result for result in results]


FLOW_RULES: dict[str, InterpretFlow] = {'If': _if, 'Loop': _loop, 'Scan': _scan, 'SequenceMap': _sequence_map}
