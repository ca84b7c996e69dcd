"""What pyproject.toml cannot say: a wheel has the built kernels inside, which in a clone are found where they are."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
BINARIES = [f'dist/edgeflow-{name}.wasm' for name in ('simd', 'relaxed', 'more-simd', 'more-relaxed')]


class BuildWithKernels(build_py):
    """Puts them where host/cpython_io.py and host/cpython_gpu.py look first: edgeflow/kernels/*.wasm and edgeflow/kernels/wgsl/."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        missing = [name for name in BINARIES if not (ROOT / name).is_file()]
        if missing:
            raise SystemExit(f'a wheel has the kernels inside, and {", ".join(missing)} is not there; `make build` makes it')
        target = Path(self.build_lib) / 'edgeflow' / 'kernels'
        for name in [*BINARIES, *(str(path.relative_to(ROOT)) for path in sorted((ROOT / 'wgsl').rglob('*.wgsl')))]:
            self.mkpath(str((target / name.removeprefix('dist/')).parent))
            self.copy_file(str(ROOT / name), str(target / name.removeprefix('dist/')))


setup(cmdclass={'build_py': BuildWithKernels})
