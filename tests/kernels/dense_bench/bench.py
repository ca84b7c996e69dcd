"""Speed of the dense kernels in the browser that the tests use: `python -m tests.kernels.dense_bench.bench [folder ...]`.

Each folder holds edgeflow-simd.wasm and edgeflow-relaxed.wasm (default: dist). All binaries take turns, round by round, on one thread
of one page; the table gives medians in GFLOP/s (int8: 10^9 multiply-adds x 2). For comparing two versions of a kernel on a busy machine.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

from toolchain.browser import open_browser

HERE = Path(__file__).parent
ROUNDS = 15


def main() -> None:
    folders = [argument for argument in sys.argv[1:] if not argument.startswith('-')] or ['dist']
    only = next((argument[2:] for argument in sys.argv[1:] if argument.startswith('-k')), '')
    variants = ['relaxed'] if '--relaxed' in sys.argv else ['simd', 'relaxed']
    binaries = {
        f'{folder.rstrip("/").split("/")[-1]}/{variant}': base64.b64encode(
            (Path(folder) / f'edgeflow-{variant}.wasm').read_bytes()
        ).decode()
        for folder in folders
        for variant in variants
    }
    with open_browser(webgpu=False, webnn=False) as browser:
        page = browser.new_page()
        page.set_default_timeout(300_000)
        page.add_script_tag(content=(HERE / 'bench.js').read_text())
        rows = page.evaluate('([binaries, rounds, only]) => denseBench(binaries, rounds, only)', [binaries, ROUNDS, only])
    names = list(binaries)
    print(f'{"case":34}' + ''.join(f'{name:>24}' for name in names))
    for row in rows:
        print(f'{row["case"]:34}' + ''.join(f'{row["speed"][name]:>24}' for name in names))


if __name__ == '__main__':
    main()
