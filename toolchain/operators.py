"""Write docs/operators.md: every operator, its versions, where it runs, and in which data types ONNX's own tests pass.

`python -m toolchain.operators`. The operators come from the tables that planning uses, the types from the cases of
tests/conformance/passing.txt; a test compares the file with what this makes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import onnx
from onnx import TensorProto, defs

from edgeflow.backends.wasm.executable import fetch_rare
from edgeflow.backends.wasm.lowerings import INTERPRETED, LOWERINGS, MORE_LOWERINGS, VISION_OPS
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.ir.ops.table import OPS
from edgeflow.plan.planner import PLANNED_OPS
from toolchain.paths import ROOT

TARGET = ROOT / 'docs' / 'operators.md'
SHORT = {
    'FLOAT': 'f32', 'DOUBLE': 'f64', 'FLOAT16': 'f16', 'BFLOAT16': 'bf16', 'INT64': 'i64', 'INT32': 'i32', 'INT16': 'i16', 'INT8': 'i8',
    'UINT64': 'u64', 'UINT32': 'u32', 'UINT16': 'u16', 'UINT8': 'u8', 'BOOL': 'bool', 'STRING': 'string',
}
HEAD = '''# Operators

Written by `python -m toolchain.operators` from the tables that planning uses; a test checks that it is up to date.

- **versions**: the opsets in which ONNX changed the operator (com.microsoft has one version).
- **WASM**: `core` is in `edgeflow.js`; `vision` and `ops` are the parts that are fetched with the first model that has such an operator;
  `ops, interpreted`: values that are no tensors, or shapes that depend on data, so it runs node by node.
- **GPU**: there are kernels for WebGPU; other operators of a model on the GPU run on WASM.
- **types**: of the inputs and outputs in ONNX's node tests that pass (tests/conformance/passing.txt); others may work. float16 and
  bfloat16 are computed in float32.

| operator | versions | WASM | GPU | types in passing tests |
|---|---|---|---|---|
'''


def place(key: str) -> str:
    """Where an operator is found on WASM."""
    if key in INTERPRETED:
        return 'ops, interpreted'
    if key in VISION_OPS:
        return 'vision'
    if key in PLANNED_OPS or key in LOWERINGS or key == 'Constant':
        return 'core'
    return 'ops' if key in MORE_LOWERINGS else ''


def tested_types() -> dict[str, set[str]]:
    """By operator, the element types in the node tests of one node that pass."""
    from tests.conformance.cases import node_cases
    from tests.conformance.run import recorded

    passing = recorded()
    found: dict[str, set[str]] = defaultdict(set)
    for name, case in node_cases().items():
        model = onnx.load_from_string(case.model)
        if name not in passing or len(model.graph.node) != 1:
            continue
        node = model.graph.node[0]
        key = f'{node.domain}:{node.op_type}' if node.domain not in ('', 'ai.onnx') else node.op_type
        for info in [*model.graph.input, *model.graph.output]:
            if info.type.HasField('tensor_type'):
                kind = TensorProto.DataType.Name(info.type.tensor_type.elem_type)
                found[key].add(SHORT.get(kind, kind.lower()))
    return found


def versions() -> dict[str, list[int]]:
    """By operator, the opsets that changed it."""
    found: dict[str, set[int]] = defaultdict(set)
    for schema in defs.get_all_schemas_with_history():
        found[f'{schema.domain}:{schema.name}' if schema.domain else schema.name].add(schema.since_version)
    return {key: sorted(opsets) for key, opsets in found.items()}


def text() -> str:
    """The page."""
    asyncio.run(fetch_rare())
    types, opsets = tested_types(), versions()
    order = [*SHORT.values()]
    rows = []
    for key in sorted({*OPS, *PLANNED_OPS}, key=lambda key: (':' in key, key)):
        where = place(key)
        if key.startswith('edgeflow:') or not where:
            continue
        listed = sorted(types.get(key, ()), key=lambda kind: (order.index(kind) if kind in order else len(order), kind))
        numbers = ', '.join(str(number) for number in opsets.get(key, []))
        rows.append(f'| {key} | {numbers} | {where} | {"yes" if key in GPU_LOWERINGS else ""} | {" ".join(listed)} |\n')
    return HEAD + ''.join(rows)


if __name__ == '__main__':
    TARGET.write_text(text())
    print(f'{TARGET.relative_to(ROOT)}: {TARGET.read_text().count(chr(10)) - HEAD.count(chr(10))} operators')
