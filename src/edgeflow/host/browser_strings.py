"""Numbers as texts and texts that match patterns, for operators on strings. JS only."""

from __future__ import annotations


__pragma__('js', r'''
// RE2's spelling in JS. Without the flag u, more escapes are allowed.
function compiled(pattern, wrap, more) {
  let flags = more;
  const source = pattern.replace(/^\(\?([ims]+)\)/, (whole, given) => (flags += given.replace('m', ''), ''))
    .replaceAll('(?P<', '(?<').replaceAll('\\A', '^').replaceAll('\\z', '$');
  for (const mode of ['u', '']) {
    try {
      return new RegExp(wrap ? `^(?:${source})$` : source, flags + mode);
    } catch { /* tried in the other mode, or no expression */ }
  }
  return null;
}
''')


def match_fully(pattern: str, texts: list[str]) -> list[bool] | None:
    __pragma__('js', r'''
    const expression = compiled(pattern, true, '');
    return expression && texts.map(text => expression.test(text));
    ''')


def find_matches(pattern: str, text: str) -> list[str] | None:
    __pragma__('js', r'''
    const expression = compiled(pattern, false, 'g');
    return expression && (text.match(expression) ?? []).filter(found => found !== '');
    ''')


def parse_number(text: str) -> float | None:
    __pragma__('js', r'''
    const word = text.trim(), infinite = /^([+-]?)inf(inity)?$/i.exec(word);
    if (infinite) return infinite[1] === '-' ? -Infinity : Infinity;
    if (/^[+-]?nan$/i.test(word)) return NaN;
    return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word) ? Number(word) : null;
    ''')


def number_text(x: float, dtype: str) -> str:
    __pragma__('js', r'''
    if (!Number.isFinite(x)) return Number.isNaN(x) ? 'nan' : x > 0 ? 'inf' : '-inf';
    let value = x;
    for (let digits = 1; dtype === 'float32' && digits <= 9; ++digits) {
      value = Number(x.toPrecision(digits));
      if (Math.fround(value) === x) break;
    }
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e16)) return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
    return Object.is(value, -0) ? '-0.0' : Number.isInteger(value) ? `${value}.0` : `${value}`;
    ''')
