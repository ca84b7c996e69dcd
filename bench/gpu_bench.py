"""Measure kernels and models on a GPU in CPython: `python bench/gpu_bench.py [--software] [--out FILE] [kernels] [minilm] [four] [bert128] [bert512]`.

Needs numpy, wgpu and, for models, wasmtime; models have well-known shapes and random weights. Kernels are timed as the lowerings choose them,
many dispatches a submit, after the GPU has left its idle clock. Figures go to bench/gpu.json with the device's name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'src')]

import numpy as np  # noqa: E402

from bench.onnx_write import bert  # noqa: E402

WARM_SECONDS = 0.4
MEASURE_SECONDS = 0.3
GIGA = 1e9


class Kernels:
    """Times single nodes by their GPU lowerings."""

    def __init__(self) -> None:
        from edgeflow.backends.webgpu.device import open_device
        from edgeflow.backends.webgpu.lowerings import OTHERS

        for _, bring in OTHERS:
            asyncio.run(bring())
        opened = asyncio.run(open_device())
        if opened is None:
            raise SystemExit('gpu_bench: no GPU adapter')
        self.gpu = opened
        self.name = opened.device.name

    def seconds(self, node_key: str, arrays: list[np.ndarray | None], attributes: dict[str, object], weights: list[int], copies: int) -> tuple[float, str]:
        """Seconds of one run of the node, with `copies` of its weights in turn, so that no cache holds them; and its first kernel."""
        from edgeflow.backends.webgpu.builder import Dispatch, GpuBuilder, gpu_offset, gpu_size, kind_of
        from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
        from edgeflow.host.port import GpuCommand, GpuPiece
        from edgeflow.ir.graph import Node
        from edgeflow.plan.planner import memory_dtype, new_outputs

        device = self.gpu.device
        domain, _, op = node_key.rpartition(':')
        node = Node(op, domain, 'bench', ['' if array is None else f'x{i}' for i, array in enumerate(arrays)], ['y'], dict(attributes))
        b = GpuBuilder(None, self.gpu.features)
        values = []
        contents = {}
        for i, array in enumerate(arrays):
            if array is None:
                values.append(None)
                continue
            value = b.new_value(f'x{i}', memory_dtype(array.dtype.name), list(array.shape))
            if i in weights:
                value.constant = True
                value.initializer = f'x{i}'
                value.half = array.dtype == np.float16 and self.gpu.features.f16
            contents[value.number] = array
            values.append(value)
        b.begin(node, 21)
        results = new_outputs(node, 21, values, b)
        if not GPU_LOWERINGS[node.key()](b, node, values, results):
            raise SystemExit(f'gpu_bench: {node_key} was not taken')
        asyncio.run(self.gpu.compile(b.steps))
        buffers: list[object] = []
        rounds = []
        shared: dict[int, object] = {}
        for _ in range(copies):
            own: dict[int, object] = {}
            commands = []
            for step in b.steps:
                assert isinstance(step, Dispatch)
                data = np.array(step.parameters, np.int64).astype(np.uint32).tobytes()
                uniform = device.buffer((len(data) + 15) // 16 * 16, True)
                device.write(uniform, 0, memoryview(data))
                pieces = [GpuPiece(uniform, 0, (len(data) + 15) // 16 * 16)]
                for value in step.bindings():
                    root = value.root()
                    place = own if root.initializer != '' else shared
                    if root.number not in place:
                        place[root.number] = device.buffer(gpu_size(root))
                        buffers.append(place[root.number])
                        if root.number in contents:
                            array = contents[root.number]
                            kinds = {'f32': np.float32, 'f16': np.float16, 'bytes': array.dtype}
                            device.write(place[root.number], 0, memoryview(array.astype(kinds[kind_of(root)]).tobytes()))
                    pieces.append(GpuPiece(place[root.number], gpu_offset(value), gpu_size(value)))
                commands.append(GpuCommand(self.gpu.compiled(step.label()), device.group(self.gpu.forms(step.label()), pieces), step.groups))
            rounds.append(commands)
        last = GpuPiece(shared[results[0].root().number], 0, 16)

        def run(times: int) -> float:
            # Recorded beforehand: that is Python's time, not the GPU's.
            recorded = device._encode([command for i in range(times) for command in rounds[i % copies]]).finish()
            began = time.perf_counter()
            device.raw.queue.submit([recorded])
            asyncio.run(device.run([], [last]))
            return (time.perf_counter() - began) / times

        one = max(run(copies), 1e-6)
        until = time.perf_counter() + WARM_SECONDS
        times = max(copies, min(2000, int(MEASURE_SECONDS / 5 / one)))
        while time.perf_counter() < until:
            one = run(times)
            times = max(copies, min(2000, int(MEASURE_SECONDS / 5 / one)))
        best = min(run(times) for _ in range(5))
        for buffer in buffers:
            device.free(buffer)
        kernel = b.steps[0]
        groups = 'x'.join(str(count) for count in kernel.groups)
        return best, f'{kernel.kernel} {groups}'


def kernel_rows(small: bool) -> list[dict[str, object]]:
    from edgeflow.backends.wasm.lower_spatial import install_spatial

    install_spatial()
    kernels = Kernels()
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []

    def note(name: str, seconds: float, kernel: str, **figures: float) -> None:
        rows.append({'name': name, 'us': round(seconds * 1e6, 2), 'kernel': kernel, **{key: round(value, 3) for key, value in figures.items()}})
        print(json.dumps(rows[-1]), flush=True)

    shapes = [(4096, 4096, 4096), (4096, 768, 768), (4096, 3072, 768), (4096, 768, 3072), (1024, 768, 768), (512, 768, 768), (128, 768, 768),
              (32, 384, 384), (32, 1536, 384), (32, 384, 1536), (4, 768, 768), (2, 768, 768), (1, 768, 768)]
    for m, n, k in [(64, 64, 64), (32, 384, 384)] if small else shapes:
        for across in (False, True):
            a = rng.standard_normal((m, k), np.float32)
            w = rng.standard_normal((n, k) if across else (k, n), np.float32)
            seconds, kernel = kernels.seconds('edgeflow:MatMul', [a, w], {'trans_b': int(across)}, [1], 2)
            note(f'matmul {m} x {n} x {k}' + (' by columns' if across else ''), seconds, kernel, tflops=2 * m * n * k / seconds / 1e12)
    n, k = (512, 256) if small else (11008, 4096)
    x = rng.standard_normal((1, k), np.float32)
    for dtype in (np.float32, np.float16):
        for across in (False, True):
            w = rng.standard_normal((n, k) if across else (k, n), np.float32).astype(dtype)
            seconds, kernel = kernels.seconds('edgeflow:MatMul', [x if dtype == np.float32 else x.astype(np.float16), w], {'trans_b': int(across)}, [1], 8)
            note(f'matvec {n} x {k} {w.dtype}' + (' by columns' if across else ''), seconds, kernel, gb_per_s=w.nbytes / seconds / GIGA)
    for bits in (4, 8):
        for dtype in (np.float32, np.float16):
            for n, k in [(512, 256)] if small else [(11008, 4096), (4096, 11008), (576, 576), (1536, 576), (576, 1536), (49152, 576)]:
                codes = rng.integers(0, 256, (n, k // 32, 4 * bits), np.uint8)
                scales = (rng.random((n, k // 32)) * 0.1).astype(dtype)
                seconds, kernel = kernels.seconds(
                    'com.microsoft:MatMulNBits', [x[:, :k] if k <= x.shape[1] else rng.standard_normal((1, k), np.float32), codes, scales],
                    {'K': k, 'N': n, 'bits': bits, 'block_size': 32}, [1, 2], 16)
                note(f'matvec {n} x {k} {bits} bit, scales {scales.dtype}', seconds, kernel, gb_per_s=(codes.nbytes + scales.nbytes) / seconds / GIGA)
    for shape, weight, attributes in [([1, 64, 56, 56], [64, 64, 3, 3], {'pads': [1, 1, 1, 1]}), ([1, 256, 14, 14], [256, 256, 3, 3], {'pads': [1, 1, 1, 1]}),
                                      ([8, 64, 56, 56], [256, 64, 1, 1], {}), ([1, 3, 224, 224], [768, 3, 16, 16], {'strides': [16, 16]}),
                                      ([1, 96, 56, 56], [96, 1, 7, 7], {'group': 96, 'pads': [3, 3, 3, 3]})][: 1 if small else 5]:
        image = rng.standard_normal(shape, np.float32)
        filters = rng.standard_normal(weight, np.float32)
        seconds, kernel = kernels.seconds('Conv', [image, filters], attributes, [1], 2)
        places = np.prod(shape[2:]) / np.prod(attributes.get('strides', [1]))
        note(f'convolution {shape} {weight}', seconds, kernel, tflops=2 * shape[0] * places * filters.size / seconds / 1e12)
    for m in [4] if small else [2, 8, 32, 128, 512]:
        n, k = (64, 64) if small else (4096, 4096)
        codes = rng.integers(0, 256, (n, k // 32, 16), np.uint8)
        scales = (rng.random((n, k // 32)) * 0.1).astype(np.float32)
        seconds, kernel = kernels.seconds('com.microsoft:MatMulNBits', [rng.standard_normal((m, k), np.float32), codes, scales],
                                          {'K': k, 'N': n, 'bits': 4, 'block_size': 32}, [1, 2], 4)
        note(f'matmul {m} x {n} x {k} 4 bit', seconds, kernel, tflops=2 * m * n * k / seconds / 1e12)
    return rows


async def model_rows(name: str, layers: int, hidden: int, heads: int, wide: int, batch: int, length: int, models: int, rounds: int) -> list[dict[str, object]]:
    """`models` of one shape, all run at once: milliseconds of a round, and of loading and the first run."""
    from edgeflow.api import load_model
    from edgeflow.runtime.tensor import tensor

    rng = np.random.default_rng(1)
    data = bert(layers, hidden, heads, wide)
    feeds = {'input_ids': rng.integers(0, 30000, (batch, length)), 'attention_mask': np.ones((batch, length), np.int64)}
    given = {key: tensor(value) for key, value in feeds.items()}
    began = time.perf_counter()
    loaded = [await load_model(memoryview(data), device='webgpu') for _ in range(models)]
    load = time.perf_counter() - began

    async def once() -> float:
        began = time.perf_counter()
        for output in await asyncio.gather(*[model.run(given) for model in loaded]):
            assert np.isfinite(output['last_hidden_state'].data[:8]).all()
        return time.perf_counter() - began

    first = await once()
    for _ in range(3):
        await once()
    times = [await once() for _ in range(rounds)]
    figure: dict[str, object] = {'name': name, 'ms': round(1000 * statistics.median(times), 3), 'least_ms': round(1000 * min(times), 3), 'load_ms': round(1000 * load, 1),
                                 'first_run_ms': round(1000 * first, 1), 'on_gpu': loaded[0].placement().nodes, 'on_wasm': loaded[0].placement().fallback}
    print(json.dumps(figure), flush=True)
    for model in loaded:
        model.dispose()
    return [figure]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--software', action='store_true', help='SwiftShader, small shapes')
    parser.add_argument('--out', default=str(ROOT / 'bench' / 'gpu.json'))
    parser.add_argument('what', nargs='*', default=['kernels', 'minilm', 'four', 'bert128', 'bert512'])
    options = parser.parse_args()
    if options.software:
        from toolchain.gpu import use_software_gpu

        use_software_gpu()
    models: dict[str, Callable[[], object]] = {
        'minilm': lambda: model_rows('all-MiniLM-L6-v2 shape, 32 tokens', 6, 384, 12, 1536, 1, 32, 1, 40),
        'four': lambda: model_rows('four of them at once', 6, 384, 12, 1536, 1, 32, 4, 20),
        'bert128': lambda: model_rows('BERT-base shape, batch 32 x 128', 12, 768, 12, 3072, 32, 128, 1, 10),
        'bert512': lambda: model_rows('BERT-base shape, batch 32 x 512', 12, 768, 12, 3072, 32, 512, 1, 5),
    }
    rows: list[dict[str, object]] = []
    for what in options.what:
        rows += kernel_rows(options.software) if what == 'kernels' else asyncio.run(models[what]())
    import wgpu

    adapter = wgpu.gpu.request_adapter_sync(power_preference='high-performance')
    Path(options.out).write_text(json.dumps({'device': adapter.info['device'], 'runtime': f'wgpu-py {wgpu.__version__}', 'rows': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()
