"""ONNX's backend tests, of nodes and of models: their models, inputs, and expected outputs with tolerances."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
from onnx import OptionalProto, SequenceProto, TensorProto, TypeProto, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from tests.conformance.values import Plain, Value, numpy_value, plain

DATA = Path(onnx.backend.test.__file__).parent / 'data'
SUITES = ['simple', 'pytorch-operator', 'pytorch-converted', 'light']


@dataclass(frozen=True)
class Case:
    """A model and its runs: the inputs by name, the expected outputs in the model's order."""

    name: str
    model: bytes
    outputs: list[str]
    runs: list[tuple[dict[str, Value], list[object]]]
    rtol: float
    atol: float
    ops: list[str]


@functools.cache
def node_cases() -> dict[str, Case]:
    """All cases by name, without 'test_'."""
    cases = {}
    with warnings.catch_warnings(), np.errstate(all='ignore'):
        warnings.simplefilter('ignore')
        for case in load_model_tests(kind='node'):
            graph = case.model.graph
            names = [info.name for info in graph.input]
            runs = [
                ({name: plain(x) for name, x in zip(names, inputs, strict=False)}, [numpy_value(plain(y)) for y in outputs])
                for inputs, outputs in case.data_sets
            ]
            name = case.name.removeprefix('test_')
            ops = sorted({node.op_type for node in graph.node})
            cases[name] = Case(name, case.model.SerializeToString(), [info.name for info in graph.output], runs, case.rtol, case.atol, ops)
    return cases


def planned(case: Case) -> list[Case]:
    """The case with all inputs but the first as initializers, a case for each run: known while planning, whatever else edgeflow lacks."""
    made = []
    for inputs, outputs in case.runs:
        model = onnx.load_from_string(case.model)
        first = list(inputs)[:1]
        for name, value in inputs.items():
            if name not in first and isinstance(value, Plain):
                array = numpy_value(value)
                model.graph.initializer.append(numpy_helper.from_array(array, name))
        left = [info for info in model.graph.input if info.name not in {x.name for x in model.graph.initializer}]
        del model.graph.input[:]
        model.graph.input.extend(left)
        runs = [({name: inputs[name] for name in inputs if name in {info.name for info in left}}, outputs)]
        made.append(dataclasses.replace(case, model=model.SerializeToString(), runs=runs))
    return made


def stored(path: Path, kind: TypeProto) -> Value:
    """A value from a .pb file; `kind`: what the graph declares of it."""
    data = path.read_bytes()
    if kind.HasField('sequence_type'):
        return plain(numpy_helper.to_list(SequenceProto.FromString(data)))
    if kind.HasField('optional_type'):
        return plain(numpy_helper.to_optional(OptionalProto.FromString(data)))
    return plain(TensorProto.FromString(data))


@functools.cache
def suite_cases(suite: str) -> dict[str, Case]:
    """The cases of one of ONNX's other suites by name: 'simple/...', 'pytorch-operator/...', 'pytorch-converted/...', 'light/...'."""
    cases = {}
    for case in load_model_tests(kind='real' if suite == 'light' else suite):
        name = f'{suite}/{case.name.removeprefix("test_")}'
        path = DATA / 'light' / Path(case.url).name if suite == 'light' else Path(case.model_dir) / 'model.onnx'
        model = onnx.load(path)
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [info for info in model.graph.input if info.name not in constants]
        outputs = list(model.graph.output)
        if suite == 'light':
            given = {info.name: plain(Runner.generate_dummy_data(info, seed=0, name=case.model_name, random=False)) for info in inputs}
            expected = [stored(path.with_name(f'{path.stem}_output_{i}.pb'), info.type) for i, info in enumerate(outputs)]
            runs = [(given, [numpy_value(x) for x in expected])]
        else:
            runs = [(
                {info.name: stored(folder / f'input_{i}.pb', info.type) for i, info in enumerate(inputs)},
                [numpy_value(stored(folder / f'output_{i}.pb', info.type)) for i, info in enumerate(outputs)],
            ) for folder in sorted(path.parent.glob('test_data_set_*'))]  # fmt: skip
        ops = sorted({node.op_type for node in model.graph.node})
        cases[name] = Case(name, path.read_bytes(), [info.name for info in outputs], runs, case.rtol, case.atol, ops)
    return cases


def all_cases() -> dict[str, Case]:
    """Those of all suites."""
    cases = dict(node_cases())
    for suite in SUITES:
        cases.update(suite_cases(suite))
    return cases


def lengths(values: list[object]) -> list[object]:
    """How the values nest: a list for a sequence, whether there is anything for all else."""
    return [lengths(x) if isinstance(x, list) else x is not None for x in values]


def flat(values: list[object]) -> list[object]:
    """The values with the items of sequences in their places: ONNX's comparison cannot take scalars within a sequence."""
    return [y for x in values for y in (flat(x) if isinstance(x, list) else [x])]


def complaint(case: Case, run: int, outputs: dict[str, Value]) -> str | None:
    """What is wrong with the outputs of a run, by ONNX's own comparison; None if nothing is."""
    try:
        expected, got = case.runs[run][1], [numpy_value(outputs[name]) for name in case.outputs]
        if lengths(got) != lengths(expected):
            return f'wrong: sequences of lengths {lengths(got)}; expected {lengths(expected)}'
        with np.errstate(all='ignore'):
            Runner.assert_similar_outputs(flat(expected), flat(got), case.rtol, case.atol)
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f'wrong: {" ".join(lines)[:160]}'
    return None
