"""docs/operators.md: every operator with its versions, how it runs and in which types. `python -m tests.conformance.operators` writes it.

From the op table and the tables of lowerings, ONNX's own schemas, and the list of cases that pass.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict

import onnx
from onnx import TensorProto

from edgeflow.backends.wasm import lower_spatial
from edgeflow.backends.wasm.lowerings import INTERPRETED, LOWERINGS, MORE_LOWERINGS, VISION_OPS
from edgeflow.backends.wasm.more.lowerings import install
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS, OTHERS
from edgeflow.backends.webnn.lowerings import NN_LOWERINGS
from edgeflow.ir.ops.table import OPS
from edgeflow.plan.planner import PLANNED_OPS
from tests.conformance.cases import all_cases
from tests.conformance.run import recorded
from tests.conformance.values import SPELLINGS
from toolchain.paths import ROOT

PAGE = ROOT / 'docs' / 'operators.md'
CORE = frozenset(LOWERINGS)
REPLACED = [
    'ai.onnx.preview:FlexAttention', 'com.microsoft:FusedConv', 'com.microsoft:FusedGemm', 'com.microsoft:QuantizeLinear', 'com.microsoft:DequantizeLinear',
]
DOMAINS = {'': 'ai.onnx', 'com.microsoft': 'com.microsoft', 'ai.onnx.ml': 'ai.onnx.ml'}
ORDER = list(TensorProto.DataType.keys())

HEAD = """# Operators

Written by `python -m tests.conformance.operators`; a test keeps it so.

- **versions**: those of ONNX in which the operator changed and which edgeflow reads.
- **WASM**: `plan`: steps of a plan; `interpreted`: with its graph node by node (docs/decisions/graphs-that-are-interpreted.md); `planner`: while
  planning. In brackets the part that is fetched for it. Every graph whose shapes depend on data is interpreted, whatever its operators.
- **WebGPU**: whether there are kernels; **WebNN**: whether it is made of calls of MLGraphBuilder. All else runs on WASM beside them.
- **types**: of the first input, in the cases of ONNX's own tests that pass. float16 and bfloat16 are computed as float32.
"""


def shown(dtype: str) -> str:
    """f32 for float32."""
    return re.sub(r'^(b?)float', r'\1f', dtype.replace('uint', 'u').replace('int', 'i'))


def tested_types() -> dict[str, list[str]]:
    """The types of the first input of each operator in cases that pass, by Node.key()."""
    found: dict[str, set[str]] = defaultdict(set)
    cases = all_cases()
    for name in recorded() & cases.keys():
        model = onnx.load_from_string(cases[name].model)
        kinds = {info.name: info.type.tensor_type.elem_type for info in model.graph.input}
        for node in model.graph.node:
            key = node.op_type if node.domain in ('', 'ai.onnx') else f'{node.domain}:{node.op_type}'
            if node.input and kinds.get(node.input[0], 0) != 0:
                kind = TensorProto.DataType.Name(kinds[node.input[0]]).lower()
                found[key].add(SPELLINGS.get(kind, kind))
    places = {SPELLINGS.get(kind.lower(), kind.lower()): i for i, kind in enumerate(ORDER)}
    return {key: [shown(kind) for kind in sorted(kinds, key=lambda kind: places[kind])] for key, kinds in found.items()}


def versions() -> dict[str, list[int]]:
    """The versions of each operator of ONNX, by Node.key()."""
    found: dict[str, list[int]] = defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        found[schema.name if schema.domain == '' else f'{schema.domain}:{schema.name}'].append(schema.since_version)
    return {key: sorted(set(numbers)) for key, numbers in found.items()}


def way(key: str) -> str:
    """How an operator runs on WASM; '' if it does not."""
    if key in REPLACED:
        return 'nodes in its place (ops)'
    if key in PLANNED_OPS or key == 'Constant':
        return 'planner'
    if key in VISION_OPS:
        return 'plan (vision)'
    if key in CORE:
        return 'plan'
    if key in INTERPRETED:
        return 'interpreted (ops)'
    return 'plan (ops)' if key in MORE_LOWERINGS or key in LOWERINGS else ''


def page() -> str:
    lower_spatial.install_spatial()
    install()
    for _, bring in OTHERS:
        asyncio.run(bring())
    types, known = tested_types(), versions()
    groups: dict[str, list[str]] = defaultdict(list)
    for key in sorted({*known, *OPS} - {key for key in OPS if key.startswith('edgeflow:')}):
        domain, _, op = key.rpartition(':')
        since = OPS[key].since if key in OPS else 1
        numbers = ', '.join(str(number) for number in known.get(key, []) if number >= since)
        gpu = 'yes' if key in GPU_LOWERINGS else ''
        nn = 'yes' if key in NN_LOWERINGS else ''
        groups[domain].append(f'| {op} | {numbers} | {way(key)} | {gpu} | {nn} | {", ".join(types.get(key, []))} |')
    parts = [HEAD]
    for domain, rows in groups.items():
        table = ['| operator | versions | WASM | WebGPU | WebNN | types |', '|---|---|---|---|---|---|', *rows]
        parts.append(f'## {DOMAINS.get(domain, domain)}\n\n' + '\n'.join(table) + '\n')
    return '\n'.join(parts)


if __name__ == '__main__':
    PAGE.write_text(page())
