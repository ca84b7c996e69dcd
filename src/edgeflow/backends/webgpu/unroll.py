"""Loops of a kernel's text that are written out before it is compiled.

    $for i 4 {
      let a#i = x[#iu];
    $}

gives four lines, with 0 to 3 for `#i`. Compilers do not unroll every loop by themselves (some guard each against running forever), and only
what is unrolled keeps its sums in registers. The count is a number or a product of two.
"""

from __future__ import annotations

OPEN = '$for '
CLOSE = '$}'


def unrolled(text: str) -> str:
    """The text with its $for loops written out."""
    lines: list[str] = []
    _unroll(text.split('\n'), 0, lines)
    return '\n'.join(lines)


def _unroll(lines: list[str], start: int, out: list[str]) -> int:
    """Append the lines from `start` up to the end of its loop; returns the number of the line behind."""
    i = start
    while i < len(lines):
        line = lines[i].strip()
        i = i + 1
        if line == CLOSE:
            return i
        if not line.startswith(OPEN):
            out.append(lines[i - 1])
            continue
        words = line.split(' ')
        body: list[str] = []
        i = _unroll(lines, i, body)
        factors = words[2].split('*')
        count = int(factors[0]) * (int(factors[1]) if len(factors) > 1 else 1)
        for number in range(count):
            for inner in body:
                out.append(inner.replace('#' + words[1], str(number)))
    return i
