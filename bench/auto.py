"""Devices 'auto' and 'fastest' beside the best device that is named: part of `make bench`.

Three models: all-MiniLM-L6-v2 with 32 tokens, ResNet-18's shape, and a session of SmolLM2-135M's shape (random weights, q4). A page for each of
the devices takes its turns; 'fastest' has had its trial when they begin, and 'auto' is there twice: where it knows of that trial, as the next
visit of the same browser does, and where it knows of none. Results go to bench/auto.json and into README.md's table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

from bench.decoder import TARGET, write_models
from bench.onnx_write import resnet18
from bench.table import timed_row, write_results
from toolchain.browser import open_browser
from toolchain.serve import Server

ROOT = Path(__file__).resolve().parent.parent
RESNET = ROOT / 'build/bench/resnet18.onnx'
# WebGPU is SwiftShader here, a program, and far behind.
NAMED = ['wasm', 'webnn']
# What is promised of what knows of a trial.
LEAST = 0.9


@dataclass(frozen=True)
class Choosing:
    """device: an option that chooses. of: the visitor, who has a store; those of 'fastest' come first. least: the ratio that is promised."""

    title: str
    device: str
    of: str
    least: float


CHOOSING = [
    Choosing("'fastest', after its trial,", 'fastest', 'who tries', LEAST), Choosing("'auto', after that trial,", 'auto', 'who tries', LEAST),
    Choosing("'auto', without a trial,", 'auto', 'who does not', 0),
]

# The page's function once(), which runs the model and gives its ms.
OPEN = """async ([url, kind, device]) => {
  const { loadModel, tensor } = await import('/dist/edgeflow.js');
  const model = await loadModel(url, { device }), row = n => Array.from({ length: n }, (_, i) => 100 + i);
  let work;
  if (kind === 'tokens') {
    const given = {};
    for (const { name } of model.inputs) given[name] = name === 'input_ids' ? row(32) : Array(32).fill(name === 'attention_mask' ? 1 : 0);
    work = () => model.run(Object.fromEntries(Object.entries(given).map(([name, values]) => [name, tensor(values, [1, 32], 'int64')])));
  } else if (kind === 'image') {
    const pixels = Float32Array.from({ length: 3 * 224 * 224 }, (_, i) => Math.sin(i));
    work = () => model.run({ image: tensor(pixels, [1, 3, 224, 224]) });
  } else {
    const session = await model.openSession();
    await session.prompt(row(16));
    work = async () => { for (let i = 0; i < 8; i++) await session.feed([7]); };
  }
  globalThis.once = async () => {
    const began = performance.now(), made = await work();
    const took = performance.now() - began;
    for (const one of Object.values(made ?? {})) one.dispose();
    return took;
  };
  for (let i = 0; i < 4; i++) await once();
  return model.device;
}"""


def measure(browser: Browser, base: str, name: str, path: str, kind: str, rounds: int) -> list[dict]:
    """The rows of one model."""
    visitors: dict[str, BrowserContext] = {}
    pages: dict[str, Page] = {}
    chosen: dict[str, str] = {}
    times: dict[str, list[float]] = {}
    for title, device, of in [*((device, device, device) for device in NAMED), *((choosing.title, choosing.device, choosing.of) for choosing in CHOOSING)]:
        if of not in visitors:
            visitors[of] = browser.new_context()
        page = visitors[of].new_page()
        page.set_default_timeout(300_000)
        page.on('pageerror', lambda error, title=title: print(f'{title}: {error}', file=sys.stderr))
        page.goto(f'{base}/bench/blank.html')
        chosen[title] = page.evaluate(OPEN, [base + path, kind, device])
        pages[title] = page
        times[title] = []
    for _ in range(rounds):
        for title, page in pages.items():
            times[title] += page.evaluate('async () => [await once(), await once(), await once()]')
    for visitor in visitors.values():
        visitor.close()
    medians = {title: statistics.median(times[title]) for title in times}
    best = min(NAMED, key=medians.get)
    return [timed_row(f'{name}: {choosing.title} which took {chosen[choosing.title]}, beside {best}', medians[choosing.title], medians[best], choosing.least)
            for choosing in CHOOSING]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=10, help='turns a page takes')
    parser.add_argument('--only', default='', help='the models whose name contains this; writes no results')
    options = parser.parse_args()
    RESNET.parent.mkdir(parents=True, exist_ok=True)
    RESNET.write_bytes(resnet18())
    write_models()
    models = (
        ('all-MiniLM-L6-v2, 32 tokens', '/models/minilm/onnx/model.onnx', 'tokens'), ("ResNet-18's shape", '/made/resnet18.onnx', 'image'),
        ("SmolLM2-135M's shape, q4, 8 tokens", f'/made/{TARGET.name}/onnx/model_q4.onnx', 'session'),
    )
    roots = {'/bench': ROOT / 'bench/pages', '/dist': ROOT / 'dist', '/models': ROOT / 'examples', '/made': ROOT / 'build/bench'}
    rows: list[dict] = []
    with Server(roots) as server, open_browser() as browser:
        for name, path, kind in models:
            if options.only in name:
                rows += measure(browser, server.origin, name, path, kind, options.rounds)
        version = browser.version
    if not options.only:
        write_results('auto.json', {'browser': f'Chromium {version}', 'figures': rows})
    return 0 if all(found['ratio'] >= found['least'] for found in rows) else 1


if __name__ == '__main__':
    sys.exit(main())
