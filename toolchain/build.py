"""`make build`: C kernels, subset gate and transpiler, shaders, bundle, declarations, size report."""

from __future__ import annotations

import subprocess
import sys
import time

from toolchain import bundle, dts, shaders, size, wasm
from toolchain.paths import BUILD, ROOT, SOURCE
from toolchain.stamp import fingerprint, locked, when_changed


def transpile() -> None:
    """src/edgeflow to build/js; a finding of the subset gate ends the build."""

    def work() -> None:
        if subprocess.run([sys.executable, '-m', 'toolchain.transpile'], cwd=ROOT).returncode:
            raise SystemExit('the transpiler stopped')

    sources = [*SOURCE.glob('**/*.py'), ROOT / 'transcrypt.toml', *(ROOT / 'toolchain').glob('**/*.py'), *(ROOT / 'toolchain').glob('**/*.js')]
    when_changed('transpile', sources, [bundle.ENTRY], work)


def build(*, report: bool = True) -> None:
    """Everything in dist/; a step whose inputs did not change is left out."""
    BUILD.mkdir(exist_ok=True)
    with locked(BUILD / 'lock'):
        started = time.monotonic()
        wasm.build_wasm()
        transpile()
        shaders.build_shaders()
        bundle.copy_assets()
        bundle.bundle()
        inputs = [*SOURCE.glob('**/*.py'), ROOT / 'toolchain' / 'dts.py', ROOT / 'toolchain' / 'tsdoc.py']
        when_changed('dts', inputs, [bundle.DIST / 'edgeflow.d.ts'], lambda: dts.write_dts(), fingerprint([]))
        size.check()
        if report:
            size.report()
            print(f'built in {time.monotonic() - started:.1f} s')


if __name__ == '__main__':
    build(report='--quiet' not in sys.argv[1:])
