"""All passes on all models: outputs on onnxruntime before and after agree, every pass leaves a valid graph, and the number of
fused nodes is that of tests/golden/fusions.txt (written anew by `python -m tests.onnx.test_passes_models`)."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import numpy
import pytest

from edgeflow.backends.wasm.lower_spatial import install_spatial
from edgeflow.ir.printer import print_graph
from edgeflow.ir.verify import verify
from edgeflow.onnx.reader import Model
from edgeflow.passes.pipeline import run_passes
from tests.onnx.evaluate import MODELS, load, run

# What images need is a part of its own: without it their types are not known.
install_spatial()

GOLDEN = Path(__file__).parents[1] / 'golden'
# onnxruntime has the normalization inside of GroupQueryAttention on other devices only.
NOT_ON_CPU = {'qwen3-nano-genai/onnx/model_q4f16.onnx'}
FUSED = ['MatMul', 'QMatMul', 'Sdpa', 'SkipLayerNorm', 'Gelu', 'BiasAct']
LEFT = ['LayerNormalization', 'MatMul', 'MatMulInteger', 'Softmax', 'Erf']
COLUMNS = ['nodes', 'after', *(f'edgeflow:{op}' for op in FUSED), *LEFT]
PRINTED = ['bert-mini-sentence/onnx/model.onnx', 'bert-qa-mini/onnx/model_quantized.onnx', 'deberta-v2-nli-mini/onnx/model.onnx']


def name_of(path: Path) -> str:
    return path.relative_to(MODELS).as_posix()


MODEL_FILES = [name_of(path) for path in sorted(MODELS.glob('*/onnx/*.onnx'))]


@cache
def cases(name: str) -> list[dict[str, numpy.ndarray]]:
    path = MODELS / name
    files = sorted((path.parents[1] / 'cases').glob(f'{path.stem}.[0-9].npz'))
    return [dict(numpy.load(file)) for file in files]


def tolerance(name: str) -> float:
    """Of the largest value of the output, beyond what the fused operators' wider arithmetic gives."""
    if 'q4f16' in name or 'quantized' in name:
        return 4e-2
    return 4e-3 if 'fp16' in name else 5e-6


@pytest.mark.parametrize('name', [name for name in MODEL_FILES if name not in NOT_ON_CPU])
def test_passes_keep_the_outputs(name: str) -> None:
    model: Model = load(MODELS / name)
    run_passes(model.graph, lambda _: verify(model.graph))
    assert len(cases(name)) >= 2
    for case in cases(name):
        outputs = run(model.graph, {key[3:]: value for key, value in case.items() if key.startswith('in:')})
        expected = {key[4:]: value for key, value in case.items() if key.startswith('out:')}
        assert outputs.keys() == expected.keys()
        for key, value in expected.items():
            got = outputs[key]
            assert (got.shape, got.dtype) == (value.shape, value.dtype)
            scale = float(numpy.abs(value[numpy.isfinite(value)]).max(initial=0))
            numpy.testing.assert_allclose(
                got.astype(numpy.float64), value.astype(numpy.float64), rtol=0, atol=tolerance(name) * scale + 1e-9, err_msg=key,
            )


@pytest.mark.parametrize('name', MODEL_FILES)
def test_passes_twice_change_nothing(name: str) -> None:
    graph = load(MODELS / name).graph
    run_passes(graph)
    once = print_graph(graph)
    run_passes(graph)
    assert print_graph(graph) == once


def row(name: str) -> str:
    graph = load(MODELS / name).graph
    before = len(graph.nodes)
    run_passes(graph)
    verify(graph)
    counts = Counter(node.key() for node in graph.nodes)
    numbers = [before, len(graph.nodes), *(counts[key] for key in COLUMNS[2:])]
    return f'{name:<48}' + ''.join(f'{number or ".":>8}' for number in numbers)


def table() -> str:
    head = f'{"model":<48}' + ''.join(f'{column.removeprefix("edgeflow:")[:7]:>8}' for column in COLUMNS)
    return '\n'.join([head, *(row(name) for name in MODEL_FILES)]) + '\n'


def printed(name: str) -> str:
    graph = load(MODELS / name).graph
    run_passes(graph)
    return print_graph(graph)


def golden_name(name: str) -> str:
    return name.replace('/onnx/', '-').replace('.onnx', '.txt')


def test_fusions_are_those_of_the_golden_table() -> None:
    assert table() == (GOLDEN / 'fusions.txt').read_text()


@pytest.mark.parametrize('name', PRINTED)
def test_printed_graph(name: str) -> None:
    assert printed(name) == (GOLDEN / golden_name(name)).read_text()


if __name__ == '__main__':
    (GOLDEN / 'fusions.txt').write_text(table())
    for model_name in PRINTED:
        (GOLDEN / golden_name(model_name)).write_text(printed(model_name))
