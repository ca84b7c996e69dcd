"""ONNX's backend node tests: their models, inputs, and expected outputs with tolerances."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from tests.conformance.values import Plain, Value, numpy_value, plain


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
