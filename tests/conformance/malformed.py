"""Models of ONNX's own cases, broken at random: attributes, types, ranks, cycles, inputs that are missing or left out, other operators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from random import Random

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from tests.conformance.cases import Case, all_cases
from tests.conformance.sklearn_cases import sklearn_cases
from tests.conformance.values import SPELLINGS, Plain, Value

NUMBERS = [0, 1, 2, 3, -1, -2, 4, 7, 16, 255, 65536, 2 ** 31 - 1, -2 ** 31, 2 ** 40, 2 ** 63 - 1, -2 ** 63]
REALS = [0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, float('inf'), float('-inf'), float('nan')]
TEXTS = ['', 'x', 'NOTSET', 'SAME_UPPER', 'linear', 'constant', 'max', '(', '\U0001f600', 'a' * 300]
DTYPES = [value for name, value in TensorProto.DataType.items() if name != 'UNDEFINED']
DIMS = [0, 1, 2, 3, 5]
MOST_BYTES = 400000


@functools.cache
def sources() -> list[Case]:
    """The cases that are broken; large ones would only take time."""
    return [case for name, case in sorted({**all_cases(), **sklearn_cases()}.items()) if len(case.model) < MOST_BYTES and not name.startswith('light/')]


@functools.cache
def operators() -> list[tuple[str, str]]:
    return sorted({(schema.domain, schema.name) for schema in onnx.defs.get_all_schemas()})


def nodes_of(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    found = list(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                found.extend(nodes_of(attribute.g))
    return found


def random_attribute(random: Random, name: str) -> AttributeProto:
    kinds: list[Callable[[], object]] = [
        lambda: random.choice(NUMBERS), lambda: random.choice(REALS), lambda: random.choice(TEXTS),
        lambda: [random.choice(NUMBERS) for _ in range(random.randrange(1, 7))], lambda: [random.choice(REALS) for _ in range(random.randrange(1, 7))],
        lambda: [random.choice(TEXTS) for _ in range(random.randrange(1, 4))],
        lambda: numpy_helper.from_array(np.array(random.choice(NUMBERS[:10]))),
    ]
    return helper.make_attribute(name, random.choice(kinds)())


def break_attribute(random: Random, model: onnx.ModelProto) -> None:
    node = random.choice(nodes_of(model.graph))
    schemas = [schema for schema in onnx.defs.get_all_schemas() if (schema.domain, schema.name) == (node.domain, node.op_type)]
    names = [*(attribute.name for attribute in node.attribute), *(name for schema in schemas for name in schema.attributes)]
    if not names:
        return
    name = random.choice(names)
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    old = [attribute for attribute in node.attribute if attribute.name == name]
    if random.random() < 0.8:
        if old and old[0].ints and random.random() < 0.6:
            # One number of a list, or its length.
            numbers = list(old[0].ints)
            place = random.randrange(len(numbers))
            numbers[place:place + 1] = random.choice([[], [random.choice(NUMBERS)], [numbers[place]] * 2])
            kept.append(helper.make_attribute(name, numbers) if numbers else random_attribute(random, name))
        elif old and old[0].type == AttributeProto.INT and random.random() < 0.6:
            kept.append(helper.make_attribute(name, random.choice(NUMBERS)))
        else:
            kept.append(random_attribute(random, name))
    del node.attribute[:]
    node.attribute.extend(kept)


def break_type(random: Random, model: onnx.ModelProto) -> None:
    info = random.choice([*model.graph.input, *model.graph.output])
    info.type.tensor_type.elem_type = random.choice(DTYPES)


def break_shape(random: Random, model: onnx.ModelProto) -> None:
    infos = [info for info in model.graph.input if info.type.HasField('tensor_type')]
    if infos:
        info = random.choice(infos)
        old = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        shape = random.choice([
            [random.choice(DIMS) for _ in range(random.randrange(0, 6))], old[:-1], old[1:], [*old, 1], [1, *old], old[::-1],
            [random.choice([dim, dim, dim, 0, 1, dim + 1]) for dim in old],
        ])
        info.type.tensor_type.CopyFrom(helper.make_tensor_type_proto(info.type.tensor_type.elem_type, shape).tensor_type)


def break_inputs(random: Random, model: onnx.ModelProto) -> None:
    node = random.choice(nodes_of(model.graph))
    names = [*(x.name for x in model.graph.input), *(x for n in model.graph.node for x in n.output), '', 'nowhere']
    inputs = list(node.input)
    change = random.randrange(4)
    if change == 0 and inputs:
        inputs.pop(random.randrange(len(inputs)))
    elif change == 1:
        inputs.insert(random.randrange(len(inputs) + 1), random.choice(names))
    elif inputs:
        # Also its own output: a cycle.
        inputs[random.randrange(len(inputs))] = random.choice(names)
    del node.input[:]
    node.input.extend(inputs)


def break_outputs(random: Random, model: onnx.ModelProto) -> None:
    node = random.choice(nodes_of(model.graph))
    outputs = list(node.output)
    change = random.randrange(3)
    if change == 0 and outputs:
        outputs.pop(random.randrange(len(outputs)))
    elif change == 1:
        outputs.append(random.choice(['', 'another', *outputs]))
    elif outputs:
        outputs[random.randrange(len(outputs))] = random.choice(['', 'another', model.graph.input[0].name if model.graph.input else 'x'])
    del node.output[:]
    node.output.extend(outputs)


def break_operator(random: Random, model: onnx.ModelProto) -> None:
    node = random.choice(nodes_of(model.graph))
    node.domain, node.op_type = random.choice([*operators(), ('', 'Nothing'), ('nowhere', 'Add')])
    if all(opset.domain != node.domain for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(node.domain, random.randrange(0, 6)))


def break_version(random: Random, model: onnx.ModelProto) -> None:
    random.choice(model.opset_import).version = random.choice([0, 1, 5, 6, 7, 9, 10, 11, 12, 13, 17, 18, 21, 23, 26, 2 ** 31])


def break_constant(random: Random, model: onnx.ModelProto) -> None:
    tensors = [*model.graph.initializer, *(a.t for node in nodes_of(model.graph) for a in node.attribute if a.type == AttributeProto.TENSOR)]
    if tensors:
        tensor = random.choice(tensors)
        change = random.randrange(3)
        if change == 0:
            tensor.data_type = random.choice(DTYPES)
        elif change == 1:
            tensor.dims[:] = [random.choice([*DIMS, -1, 2 ** 40]) for _ in range(random.randrange(0, 4))]
        elif tensor.raw_data:
            data = bytearray(tensor.raw_data)
            data[random.randrange(len(data))] = random.randrange(256)
            tensor.raw_data = bytes(data)


CHANGES = [break_attribute, break_attribute, break_type, break_shape, break_shape, break_inputs, break_outputs, break_operator, break_version, break_constant]


def random_numbers(random: Random, dtype: str, shape: list[int]) -> Plain:
    """A tensor, its elements as given to axes and sizes: small whole numbers, rarely large ones."""
    if dtype == 'string':
        return Plain(dtype, shape, [random.choice(TEXTS) for _ in range(int(np.prod(shape)))])
    storage = Plain(dtype, shape, b'').storage()
    numbers = [random.choice(NUMBERS if random.random() < 0.05 else [0, 1, 2, 3, -1]) for _ in range(int(np.prod(shape)))]
    with np.errstate(all='ignore'):
        array = np.array(numbers, dtype=np.int64).astype(storage)
    if dtype == 'bool':
        array = array & 1
    return Plain(dtype, shape, array.tobytes())


def fitting(random: Random, info: onnx.ValueInfoProto, given: Value) -> Value:
    """The value of the case if it still is what the graph declares, sometimes with other numbers; else random numbers."""
    if not info.type.HasField('tensor_type'):
        return given
    tensor = info.type.tensor_type
    name = TensorProto.DataType.Name(tensor.elem_type).lower()
    dtype = SPELLINGS.get(name, name)
    shape = [dim.dim_value if dim.HasField('dim_value') else random.choice(DIMS) for dim in tensor.shape.dim]
    if isinstance(given, Plain) and given.dtype == dtype and random.random() < 0.8:
        declared = [dim.dim_value if dim.HasField('dim_value') else None for dim in tensor.shape.dim]
        if len(declared) == len(given.shape) and all(a is None or a == b for a, b in zip(declared, given.shape, strict=True)):
            return given
    return random_numbers(random, dtype, shape)


def broken(random: Random) -> tuple[str, bytes, dict[str, Value]]:
    """A case's name, its model with one to three changes, and inputs for it."""
    case = random.choice(sources())
    model = onnx.load_from_string(case.model)
    for _ in range(random.choice([1, 1, 2, 3])):
        random.choice(CHANGES)(random, model)
    given = case.runs[0][0] if case.runs else {}
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {info.name: fitting(random, info, given.get(info.name)) for info in model.graph.input if info.name not in constants}
    return case.name, model.SerializeToString(), inputs
