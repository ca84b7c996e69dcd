"""Fill README.md's tables of measured numbers from bench/*.json; `--check` fails when they differ."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = '<!-- bench:begin -->', '<!-- bench:end -->'


def table(results: dict) -> str:
    """The Markdown between the markers."""
    lines = [
        f'Measured on {results["date"]}, {results["browser"]}, two cores, page not cross-origin isolated; medians of interleaved runs.',
        '',
        f'| all-MiniLM-L6-v2 | edgeflow | {results["peer"]} | faster |',
        '|---|---:|---:|---:|',
    ]
    for row in results['figures']:
        lines.append(f'| {row["name"]} | {row["edgeflow"]:.1f} {row["unit"]} | {row["peer"]:.1f} {row["unit"]} | {row["ratio"]:.1f} × |')
    for row in results.get('bounds', []):
        peer = '' if row['peer'] is None else shown(row['peer'], row)
        faster = '' if row['ratio'] is None else f'{row["ratio"]:.1f} ×'
        lines.append(f'| {row["name"]} | {shown(row["edgeflow"], row)} | {peer} | {faster} |')
    return '\n'.join(lines)


def more_tables() -> str:
    """The Markdown of what has files of its own."""
    lines: list[str] = []
    tables = (
        ("Generation, a decoder of SmolLM2-135M's shape", 'generation.json'), ('Downloads and the cache', 'store.json'),
        ('all-MiniLM-L6-v2 by WebGPU on SwiftShader, a GPU in software, beside onnxruntime-web 1.30', 'webgpu.json'),
        ('all-MiniLM-L6-v2 by WebNN on a CPU, one sentence, fp32', 'webnn.json'), ('Choosing the device', 'auto.json'),
    )
    for title, name in tables:
        lines += ['', f'| {title} | edgeflow | beside | faster |', '|---|---:|---:|---:|']
        for row in json.loads((ROOT / 'bench' / name).read_text())['figures']:
            lines.append(f'| {row["name"]} | {row["edgeflow"]:.1f} {row["unit"]} | {row["peer"]:.1f} {row["unit"]} | {row["ratio"]:.1f} × |')
    return '\n'.join([*lines, *gpu_tables()])


KERNELS = {
    'matmul 4096 x 4096 x 4096': 'tflops', 'matvec 11008 x 4096 float16': 'gb_per_s', 'matvec 11008 x 4096 4 bit, scales float32': 'gb_per_s',
    'matvec 4096 x 11008 4 bit, scales float32': 'gb_per_s',
}
UNITS = {'tflops': 'TFLOP/s', 'gb_per_s': 'GB/s of weights'}


def gpu_tables() -> list[str]:
    """What bench/gpu_bench.mjs and bench/gpu_bench.py measured on a real GPU, with its name."""
    node = json.loads((ROOT / 'bench' / 'gpu-node.json').read_text())
    lines = ['', f'| {node["device"]}, {node["runtime"]} | edgeflow, alone | in turns with | onnxruntime-web 1.30 | faster |', '|---|---:|---:|---:|---:|']
    for row in node['rows']:
        if 'peer_ms' in row:
            lines.append(f'| {row["name"]} | {row["alone"]["ms"]:.1f} ms | {row["ms"]:.1f} ms | {row["peer_ms"]:.1f} ms | {row["ratio"]:.1f} × |')
        elif 'tokens_per_s' in row:
            lines.append(f'| {row["name"]} | {row["tokens_per_s"]:.0f} tokens/s | | | |')
        elif 'tflops' in row:
            lines.append(f'| {row["name"]}, by matrix units | {row["tflops"]:.0f} TFLOP/s | | | |')
    first = node['rows'][0]
    lines.append(f'| loading and first run of the first | {first["load_ms"] + first["first_run_ms"]:.0f} ms | | {first["peer_load_ms"] + first["peer_first_run_ms"]:.0f} ms | |')
    lines.append(f'| CPU time to submit a run of the first | {first["alone"]["submit_ms"]:.2f} ms | | | |')
    kernels = json.loads((ROOT / 'bench' / 'gpu.json').read_text())
    lines += ['', f'| {kernels["device"]}, {kernels["runtime"]} | |', '|---|---:|']
    for row in kernels['rows']:
        unit = KERNELS.get(row['name'])
        if unit is not None:
            lines.append(f'| {row["name"]} | {row[unit]:,.1f} {UNITS[unit]} |')
    return lines


def shown(value: float, row: dict) -> str:
    """A number of a row with a bound. Long tasks are told from 50 ms on; without any there is no number."""
    if row['name'].startswith('longest task') and value == 0:
        return 'none over 50 ms'
    return f'{value:.3f} {row["unit"]}' if value < 0.1 else f'{value:.1f} {row["unit"]}'


def filled(readme: str, results: dict) -> str:
    """README's text with the table of `results` in it."""
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    return f'{head}{BEGIN}\n{table(results)}\n{more_tables()}\n{END}{tail}'


def timed_row(name: str, ours: float, beside: float, least: float) -> dict:
    """A row of a table of ms, which is printed too. least: the ratio that is promised; 0: none is."""
    print(f'{name:76} {ours:8.1f} ms beside {beside:8.1f} ms   {beside / ours:5.2f}x', flush=True)
    return {'name': name, 'unit': 'ms', 'edgeflow': round(ours, 2), 'peer': round(beside, 2), 'ratio': round(beside / ours, 2), 'least': least}


def write_results(name: str, results: dict) -> None:
    """Keep what was measured today in bench/NAME, and fill README.md's tables."""
    (ROOT / 'bench' / name).write_text(json.dumps({'date': date.today().isoformat(), **results}, indent=2) + '\n')
    (ROOT / 'README.md').write_text(filled_now())


def filled_now() -> str:
    """README's text with the tables of what is kept."""
    return filled((ROOT / 'README.md').read_text(), json.loads((ROOT / 'bench/results.json').read_text()))


def main() -> int:
    if '--check' not in sys.argv:
        (ROOT / 'README.md').write_text(filled_now())
    elif filled_now() != (ROOT / 'README.md').read_text():
        print('README.md: the table differs from bench/results.json; run `python -m bench.table`', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
