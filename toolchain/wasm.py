"""Compile the C kernels: all of wasm/*.c into one binary with SIMD, and into one with relaxed SIMD added; of wasm/more/*.c (kernels
of images and of rare operators, tables in wasm/more/*.h) the two binaries `edgeflow-more-*`, which work in the memory of one of the former.

`python -m toolchain.wasm [--force]`. The compiler is zig's clang from PyPI (`ziglang`); flags are the same on every system.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from toolchain.paths import BUILD, DIST, NODE_MODULES, ROOT
from toolchain.stamp import fingerprint, locked, when_changed

SOURCES = ROOT / 'wasm'
EXPORTS = ['run_tape', 'kernel_names', 'add_kernels', '__heap_base', '__stack_pointer']
# Below this address lie data and stack of the second binary, whether it comes or not; above, those of the first, then the heap.
BASE_ADDRESS = 131072
STACK_SIZE = 65536

FLAGS = [
    '-target', 'wasm32-freestanding', '-std=c11', '-O3', '-nostdlib', '-ffreestanding', '-fno-sanitize=all', '-g0',
    # The exact results of IEEE 754 are wanted, but for one thing: a*b+c may be one rounding where the CPU has it (relaxed SIMD only).
    '-fno-math-errno', '-fno-trapping-math', '-fvisibility=hidden', '-msimd128',
    # Loops that gain from it are unrolled by pragmas (UNROLL in dense.h).
    '-fno-unroll-loops',
    # Inner loops are in vectors by hand and say which functions and addresses they hold (SIMD, KEEP), so the compiler's own vectors,
    # copies of functions that make code longer, and pointers kept for each address of a loop only cost bytes.
    '-fno-vectorize', '-mllvm', '-inline-threshold=0', '-mllvm', '-disable-lsr',
    '-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter',
    '-Wl,--no-entry', '-Wl,--strip-all', '-Wl,-z,stack-size=%d' % STACK_SIZE,
]  # fmt: skip
# Of what clang makes, Binaryen makes the same in fewer bytes: fewer locals and jumps, code that blocks have in common once. What it does to
# keep values on the stack instead of in locals makes V8 spill vectors in inner loops: products take 1.3 times as long.
SHRINK = [
    '-Os', '--skip-pass=simplify-locals', '--skip-pass=simplify-locals-nostructure', '--enable-simd', '--enable-relaxed-simd', '--enable-bulk-memory', '--enable-nontrapping-float-to-int', '--enable-sign-ext', '--enable-mutable-globals',
]  # fmt: skip
BASE = [
    '-Wl,--export-memory', f'-Wl,--global-base={BASE_ADDRESS}', '-Wl,--export-table', '-Wl,--growable-table', *[f'-Wl,--export={name}' for name in EXPORTS],
]  # fmt: skip
RELAXED = ['-mrelaxed-simd']


def more_flags() -> list[str]:
    """Linking the kernels of images and of rare operators."""
    names = [name for path in sorted(SOURCES.glob('more/kernels_*.h')) for name in re.findall(r'\bX\((\w+)\)', path.read_text())]
    return ['-Wl,--import-memory', '-Wl,--export=__heap_base', *[f'-Wl,--export=k_{name}' for name in names]]


VARIANTS = {'simd': BASE, 'relaxed': [*RELAXED, *BASE], 'more-simd': more_flags(), 'more-relaxed': [*RELAXED, *more_flags()]}


def sources(variant: str = 'more-simd') -> list[Path]:
    """The .c files of a variant. What rare kernels call of the others is linked to them, too."""
    return sorted(path for path in SOURCES.glob('**/*.c' if variant.startswith('more-') else '*.c') if path.name != 'tape.c' or not variant.startswith('more-'))


def compile_kernels(variant: str, target: Path) -> None:
    """Compile and link one variant; a compiler's complaint ends the build."""
    command = [sys.executable, '-m', 'ziglang', 'cc', *FLAGS, *VARIANTS[variant], *map(str, sources(variant)), '-o', str(target)]
    cache = {'ZIG_GLOBAL_CACHE_DIR': str(BUILD / 'zig-cache'), 'ZIG_LOCAL_CACHE_DIR': str(BUILD / 'zig-cache')}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **cache}, capture_output=True, text=True)
    if done.stderr.strip():
        print(done.stderr.strip(), file=sys.stderr)
    if done.returncode:
        raise SystemExit(f'the C kernels ({variant}) do not compile')
    optimizer = NODE_MODULES / 'binaryen' / 'bin' / 'wasm-opt'
    if not optimizer.is_file():
        raise SystemExit(f'{optimizer} is not there: npm ci')
    if subprocess.run(['node', str(optimizer), *SHRINK, str(target), '-o', str(target)], cwd=ROOT).returncode:
        raise SystemExit(f'the C kernels ({variant}) cannot be shrunk')


def build_wasm(*, force: bool = False) -> list[Path]:
    """All binaries in dist/, compiled anew only where a source or a flag changed."""
    if not sources():
        raise SystemExit(f'no C kernels in {SOURCES}')
    headers = [*SOURCES.glob('**/*.h')]
    salt = fingerprint([ROOT / 'toolchain' / 'wasm.py'])
    DIST.mkdir(exist_ok=True)
    outputs = [DIST / f'edgeflow-{variant}.wasm' for variant in VARIANTS]
    with locked(BUILD / 'wasm.lock'):
        for variant, target in zip(VARIANTS, outputs, strict=True):

            def work(variant: str = variant, target: Path = target) -> None:
                partial = BUILD / target.name
                compile_kernels(variant, partial)
                partial.chmod(0o644)
                os.replace(partial, target)

            if force:
                target.unlink(missing_ok=True)
            when_changed(f'wasm-{variant}', [*sources(variant), *headers], [target], work, salt)
    return outputs


if __name__ == '__main__':
    for path in build_wasm(force='--force' in sys.argv[1:]):
        print(f'{path.relative_to(ROOT)} {path.stat().st_size:,} bytes')
