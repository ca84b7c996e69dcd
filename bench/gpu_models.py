"""Write the models that bench/gpu_bench.mjs measures: `python -m bench.gpu_models FOLDER`. Well-known shapes, random weights; needs numpy only."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.onnx_write import bert


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'minilm.onnx').write_bytes(bert(6, 384, 12, 1536))
    (folder / 'bert.onnx').write_bytes(bert(12, 768, 12, 3072))


if __name__ == '__main__':
    main()
