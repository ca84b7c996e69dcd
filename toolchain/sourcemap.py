"""Source maps (revision 3) from generated JS to the .py lines, inline in each module, as esbuild reads them."""

from __future__ import annotations

import base64
import json
import re

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOTE = re.compile("\x01(\\d+),(\\d+)\x02")


def vlq(number: int) -> str:
    """Base64 VLQ of one number."""
    rest = (-number << 1) | 1 if number < 0 else number << 1
    text = ""
    while True:
        digit, rest = rest & 31, rest >> 5
        text += _DIGITS[digit | 32 if rest else digit]
        if not rest:
            return text


def split_notes(annotated: str) -> tuple[str, list[list[tuple[int, int, int]]]]:
    """Take the position notes out of generated text: (text, for each line its (column, source line, source column))."""
    lines, mappings = [], []
    last: tuple[int, int] | None = None
    for annotated_line in annotated.split("\n"):
        found: list[tuple[int, int, int]] = []
        text, at = "", 0
        for match in _NOTE.finditer(annotated_line):
            text += annotated_line[at:match.start()]
            at = match.end()
            last = (int(match.group(1)) - 1, int(match.group(2)))
            column = len(text.encode("utf-16-le")) // 2
            if found and found[-1][0] == column:
                found.pop()
            found.append((column, *last))
        text += annotated_line[at:]
        if last is not None and text.strip() and (not found or found[0][0] > len(text) - len(text.lstrip())):
            indentation = len(text) - len(text.lstrip())
            found.insert(0, (indentation, *(last if not found else (found[0][1], found[0][2]))))
        lines.append(text)
        mappings.append(found)
    return "\n".join(lines), mappings


def encode(mappings: list[list[tuple[int, int, int]]]) -> str:
    """The `mappings` text, one source."""
    rows = []
    source_line = source_column = 0
    first = True
    for line in mappings:
        column = 0
        segments = []
        for js_column, py_line, py_column in line:
            segments.append(
                vlq(js_column - column) + vlq(0) + vlq(py_line - source_line) + vlq(py_column - source_column)
            )
            column, source_line, source_column = js_column, py_line, py_column
            first = False
        rows.append(",".join(segments))
    return ";".join(rows)


def with_inline_map(annotated: str, source_name: str, source: str) -> str:
    """The JS text with its source map in a comment at the end."""
    text, mappings = split_notes(annotated)
    content = {
        "version": 3, "sources": [source_name], "sourcesContent": [source], "names": [], "mappings": encode(mappings),
    }
    data = base64.b64encode(json.dumps(content).encode()).decode()
    return f"{text}//# sourceMappingURL=data:application/json;base64,{data}\n"
