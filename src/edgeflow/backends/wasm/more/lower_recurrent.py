"""Lowerings of RNN, GRU, LSTM and LinearAttention. Words: wasm/more/kernels_numeric.h."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import given, matmul_steps
from edgeflow.backends.wasm.more.compose import Composer
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.more.numeric import GATES
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

FLOAT = 4

# In the order of recurrent.c, with what alpha and beta are if not given.
ACTIVATIONS: dict[str, list[float]] = {
    'sigmoid': [0, 0], 'tanh': [0, 0], 'relu': [0, 0], 'affine': [1, 0], 'leakyrelu': [0.01, 0], 'thresholdedrelu': [1, 0], 'scaledtanh': [1, 1],
    'hardsigmoid': [0.2, 0.5], 'elu': [1, 0], 'softsign': [0, 0], 'softplus': [0, 0],
}
# Which of them take an alpha, and a beta, from the node's lists.
TAKES_ALPHA = ['affine', 'leakyrelu', 'thresholdedrelu', 'scaledtanh', 'hardsigmoid', 'elu']
TAKES_BETA = ['affine', 'scaledtanh', 'hardsigmoid']
DEFAULTS: dict[str, list[str]] = {'RNN': ['tanh'], 'GRU': ['sigmoid', 'tanh'], 'LSTM': ['sigmoid', 'tanh', 'tanh']}


def _activation_words(b: StepBuilder, node: Node, directions: int) -> list[list[Word]]:
    """The activations of each direction: function, alpha, beta for each of three."""
    names = DEFAULTS[node.op] * directions
    chosen = node.attributes.get('activations')
    if isinstance(chosen, list) and len(chosen) > 0:
        names = [f'{name}'.lower() for name in chosen]
    alphas = _numbers(node, 'activation_alpha')
    betas = _numbers(node, 'activation_beta')
    each = len(DEFAULTS[node.op])
    if len(names) != each * directions:
        raise b.unsupported(f'{len(names)} activations; it has {each} in each of {directions} directions')
    kinds = list(ACTIVATIONS.keys())
    words: list[list[Word]] = [[] for _ in range(directions)]
    for i in range(len(names)):
        name = names[i]
        if name not in kinds:
            raise b.unsupported(f"activation '{name}'; expected one of " + ', '.join(kinds))
        alpha = alphas.pop(0) if name in TAKES_ALPHA and len(alphas) > 0 else ACTIVATIONS[name][0]
        beta = betas.pop(0) if name in TAKES_BETA and len(betas) > 0 else ACTIVATIONS[name][1]
        words[i // each].extend([kinds.index(name), b.real(alpha), b.real(beta)])
    for direction in words:
        direction.extend([0] * (9 - len(direction)))
    return words


def _numbers(node: Node, name: str) -> list[float]:
    value = node.attributes.get(name)
    return [float(x) for x in value if isinstance(x, (int, float))] if isinstance(value, list) else []


def _direction(c: Composer, value: Value, direction: int) -> Value:
    """The part of one direction of a tensor [directions, ...]."""
    part = c.b.new_value('direction', value.dtype, value.shape[1:])
    c.b.alias(part, value, direction * part.size)
    return part


def lower_recurrent(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """The products with X at once, then one step a direction."""
    c = Composer(b)
    kind = node.op
    gates = GATES[kind]
    floats = [None if value is None or value.dtype == 'int32' else c.cast(value, 'float32') for value in inputs]
    first = int_of(node, 'layout') == 1
    x = given(b, floats)
    if first:
        x = c.transposed(x, [1, 0, 2])
    steps = x.shape[0]
    batch = x.shape[1]
    directions = given(b, inputs, 1).shape[0]
    hidden = given(b, inputs, 2).shape[2]
    linear = kind == 'GRU' and int_of(node, 'linear_before_reset') != 0
    way = text_of(node, 'direction', 'forward')
    words = _activation_words(b, node, directions)
    rows = at(outputs, 0)
    y = None if rows is None else rows if rows.dtype == 'float32' else c.value('float32', rows.shape)
    states = [_states(c, at(floats, i), [directions, batch, hidden], first) for i in ([5, 6] if kind == 'LSTM' else [5])]
    for direction in range(directions):
        bias = at(floats, 3)
        added: Value | None = None
        recurrent: Value | None = None
        if bias is not None:
            both = _direction(c, bias, direction)
            added = c.sliced(both, 0, 0, gates * hidden)
            recurrent = c.sliced(both, 0, gates * hidden, 2 * gates * hidden)
            if not linear:
                added = c.op('Add', [added, recurrent])
                recurrent = None
        products = c.value('float32', [steps, batch, gates * hidden])
        matmul_steps(b, x, _direction(c, given(b, floats, 1), direction), None, added, None, products, False, True, 1.0, 0)
        peepholes = at(floats, 7)
        backwards = way == 'reverse' or direction == 1
        last = c.b.pointer(None) if y is None else b.pointer(y, FLOAT * direction * hidden * (1 if first else batch))
        strides = [directions * hidden, steps * directions * hidden] if first else [directions * batch * hidden, hidden]
        b.step('recurrent', [
            ['RNN', 'GRU', 'LSTM'].index(kind), b.pointer(products), b.pointer(_direction(c, given(b, floats, 2), direction)), b.pointer(recurrent),
            b.pointer(_direction(c, states[0], direction)), b.pointer(_direction(c, states[1], direction)) if kind == 'LSTM' else 0,
            0 if peepholes is None else b.pointer(_direction(c, peepholes, direction)), b.pointer(at(inputs, 4)), last,
            strides[0], strides[1], steps, batch, hidden, 1 if backwards else 0,
            (1 if linear else 0) + 2 * int_of(node, 'input_forget'), b.real(number_of(node, 'clip', 0.0))]
            + words[direction] + [b.pointer(b.scratch(FLOAT * hidden * (gates * hidden + 16 + batch * (gates + 1))))])
    if rows is not None and y is not None and y is not rows:
        c.give(c.cast(y, rows.dtype), rows)
    for i in range(len(states)):
        output = at(outputs, i + 1)
        if output is not None:
            state = c.transposed(states[i], [1, 0, 2]) if first else states[i]
            c.give(c.cast(state, output.dtype), output)


def _states(c: Composer, given_state: Value | None, shape: list[int], first: bool) -> Value:
    """A copy of the first states, which become the last."""
    if given_state is None:
        return c.copied(c.op('Expand', [c.real(0.0), c.ints(shape)]))
    return c.copied(c.transposed(given_state, [1, 0, 2]) if first else given_state)


def lower_linear_attention(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    floats = [None if value is None else c.cast(value, 'float32') for value in inputs]
    q = given(b, floats)
    v = given(b, floats, 2)
    heads = int_of(node, 'q_num_heads')
    groups = int_of(node, 'kv_num_heads')
    width = q.shape[2] // heads
    value_width = v.shape[2] // groups
    decay = at(floats, 4)
    beta = at(floats, 5)
    state = _states(c, at(floats, 3), [q.shape[0], groups, width, value_width], False)
    y = c.value('float32', [q.shape[0], q.shape[1], heads * value_width])
    scale = number_of(node, 'scale', 0.0) or 1.0 / width ** 0.5
    b.step('linear_attention', [
        b.pointer(q), b.pointer(given(b, floats, 1)), b.pointer(v), b.pointer(decay), b.pointer(beta), b.pointer(state), b.pointer(y), q.shape[0],
        q.shape[1], heads, groups, width, value_width, 0 if decay is None else decay.shape[2], 0 if beta is None else beta.shape[2],
        1 if text_of(node, 'update_rule', 'gated_delta').endswith('delta') else 0, b.real(scale)])
    for pair in [(y, at(outputs, 0)), (state, at(outputs, 1))]:
        if pair[1] is not None:
            c.give(c.cast(pair[0], pair[1].dtype), pair[1])


MORE_RECURRENT_LOWERINGS: dict[str, Lowering] = {
    'RNN': lower_recurrent,
    'GRU': lower_recurrent,
    'LSTM': lower_recurrent,
    'LinearAttention': lower_linear_attention,
}
