"""How many threads work on a row together, and what kernels of rows (wgsl/snippets/lanes.wgsl) are told about it."""

from __future__ import annotations

from edgeflow.backends.webgpu.builder import GpuBuilder
from edgeflow.backends.webgpu.chain_text import types_text

MOST_LANES = 256
# Threads that keep a GPU busy.
BUSY = 65536


def lanes_of(b: GpuBuilder, rows: int, units: int) -> dict[str, int]:
    """The constants GROUP and LANES for so many rows of so many units."""
    lanes = 1
    if b.features.software:
        # Threads are the lanes of a CPU's vectors and barriers are dear: rows side by side, in enough groups for the cores.
        group = 64
        while group > 4 and group * 4 > rows:
            group = group // 2
        while lanes < group and rows * lanes < 4 and lanes * 8 < units:
            lanes = lanes * 2
        return {'GROUP': group, 'LANES': lanes}
    while lanes < MOST_LANES and lanes < units and (lanes < 32 or rows * lanes < BUSY):
        lanes = lanes * 2
    return {'GROUP': max(64, lanes), 'LANES': lanes}


def row_groups(b: GpuBuilder, rows: int, lanes: dict[str, int]) -> list[int]:
    """The workgroups for so many rows."""
    return b.spread(rows * lanes['LANES'], lanes['GROUP'])


def unit_code(kind: str, width: int) -> dict[str, str]:
    """Marks of wgsl/snippets/units.wgsl for rows that are read in units of one or four; $S: the unit as it is stored."""
    code = {'$TYPES': types_text(width), '$S': kind if width == 1 else f'vec4<{kind}>', '$SUM': 'v', '$MOST': 'v'}
    if width == 4:
        code['$SUM'] = '(v.x + v.y) + (v.z + v.w)'
        code['$MOST'] = 'max(max(v.x, v.y), max(v.z, v.w))'
    return code
