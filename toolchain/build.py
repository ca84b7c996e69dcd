"""`make build`: C kernels, subset gate and transpiler, shaders, bundle, declarations, size report."""

from __future__ import annotations

import subprocess
import sys
import time

from toolchain import bundle, dts, properties, shaders, size, wasm
from toolchain.paths import BUILD, ROOT, SOURCE
from toolchain.stamp import fingerprint, locked, when_changed


def transpile(*, tests: bool = False) -> None:
    """src/edgeflow (and tests/unit) to build/js; a finding of the subset gate ends the build."""

    def work() -> None:
        command = [sys.executable, '-m', 'toolchain.transpile', *(['--tests'] if tests else [])]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f'the transpiler stopped: {done.stdout.strip()}')

    toolchain = [path for pattern in ('*.py', 'runtime/*.js', 'testrunner/*.js') for path in (ROOT / 'toolchain').glob(pattern)]
    sources = [*SOURCE.glob('**/*.py'), ROOT / 'transcrypt.toml', *toolchain]
    if tests:
        sources += (ROOT / 'tests' / 'unit').glob('*.py')
    when_changed('transpile-tests' if tests else 'transpile', sources, [bundle.ENTRY, properties.LIST], work)


def build_tests() -> None:
    """The transpiled unit tests in build/js/tests, beside the modules they test."""
    with locked(BUILD / 'lock'):
        transpile(tests=True)
        shaders.build_all()
        bundle.copy_assets()


def build(*, report: bool = True) -> None:
    """Everything in dist/; a step whose inputs did not change is left out."""
    BUILD.mkdir(exist_ok=True)
    with locked(BUILD / 'lock'):
        started = time.monotonic()
        wasm.build_wasm()
        transpile()
        shaders.build_all()
        bundle.bundle()
        bundle.copy_assets()
        inputs = [*SOURCE.glob('**/*.py'), ROOT / 'toolchain' / 'dts.py', ROOT / 'toolchain' / 'tsdoc.py']
        when_changed('dts', inputs, [bundle.DIST / 'edgeflow.d.ts'], lambda: dts.write_dts(), fingerprint([]))
        size.check()
        if report:
            size.report()
            print(f'built in {time.monotonic() - started:.1f} s')


if __name__ == '__main__':
    build(report='--quiet' not in sys.argv[1:])
