"""From Python signatures to TypeScript: a small package in, its declarations out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from toolchain.annotations import Untypable
from toolchain.dts import Declarations
from toolchain.shader_words import BETWEEN, Words
from toolchain.shaders import SOURCES, build_shaders, read_kernels
from toolchain.tsdoc import camel

RECORDS = '''
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal['one', 'two']

@dataclass(frozen=True)
class Step:
    """A step.

    file_name: which file. total: bytes; None while unknown.
    """
    file_name: str
    total: int | None = None
    _private: int = 0

class Counter:
    """Counts."""
    def __init__(self, first: int) -> None:
        self.first_value = first
        self.names: list[str] = []
        self._hidden = first

    @property
    def last_value(self) -> float:
        """The newest."""

    async def count_up(self, by: int = 1, *, on_step: Callable[[Step], None] | None = None) -> dict[str, list[int]]: ...

    def parts(self) -> dict[int, set[complex]]:
        """Internal: for edgeflow's own code."""

    async def values(self) -> AsyncIterator[Step]:
        yield Step('')

def make(kind: Kind, sizes: list[int | None], facts: Mapping[str, int], *, top_k: int = 3, exact: bool) -> Counter | None:
    """Make one, if top_k allows.

    top_k: how many; None is refused.
    """
'''

EXPECTED = '''\
// Generated from the Python sources by toolchain/dts.py.

/** Options of make. */
export interface MakeOptions {
  /**
   * how many; null is refused.
   * @default 3
   */
  topK?: number;
  exact: boolean;
}

/**
 * Make one, if topK allows.
 *
 * topK: how many; null is refused.
 */
export function make(kind: Kind, sizes: readonly (number | null)[], facts: ReadonlyMap<string, number>, options: MakeOptions): Counter | null;

/**
 * A step.
 *
 * fileName: which file. total: bytes; null while unknown.
 */
export class Step {
  /** which file. */
  readonly fileName: string;
  /** bytes; null while unknown. */
  readonly total: number | null;
  constructor(fileName: string, total?: number | null);
}

export type Kind = 'one' | 'two';

/** Options of Counter.countUp. */
export interface CounterCountUpOptions {
  onStep?: ((step: Step) => void) | null;
}

/** Counts. */
export interface Counter {
  firstValue: number;
  names: string[];
  /** The newest. */
  readonly lastValue: number;
  countUp(by?: number, options?: CounterCountUpOptions): Promise<Record<string, number[]>>;
  values(): AsyncIterableIterator<Step>;
}
'''


def package(folder: Path, records: str, exports: str) -> Declarations:
    root = folder / 'edgeflow'
    root.mkdir()
    (root / 'records.py').write_text(records)
    (root / '__init__.py').write_text(exports)
    return Declarations(root)


def test_declarations(tmp_path: Path) -> None:
    assert package(tmp_path, RECORDS, 'from edgeflow.records import make, Step').generate() == EXPECTED


def test_an_async_iterator_can_be_looped_over_and_left(tmp_path: Path) -> None:
    source = 'class Feed:\n  async def __anext__(self) -> int: ...\n  async def aclose(self) -> None:\n    """End it."""\n'
    text = package(tmp_path, source, 'from edgeflow.records import Feed').generate()
    for line in (
        'aclose(): Promise<void>;', 'next(): Promise<IteratorResult<number, undefined>>;',
        'return(): Promise<IteratorResult<number, undefined>>;', '[Symbol.asyncIterator](): this;',
    ):
        assert line in text


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        ('def f(x) -> int: ...', r'records.py:1: parameter x has no annotation'),
        ('def f(x: int): ...', r'records.py:1: f has no return annotation'),
        ('def f(*x: int) -> int: ...', r'records.py:1: f has \* or \*\* parameters'),
        ('def f(x: complex) -> int: ...', r'records.py:1: complex has no TypeScript counterpart'),
        ('class f:\n  def __init__(self) -> None:\n    self.x = g(1)', r'records.py:3: public attribute x needs an annotation'),
    ],
)
def test_what_cannot_be_typed_is_said_with_its_line(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(Untypable, match=message):
        package(tmp_path, source, 'from edgeflow.records import f').generate()


@pytest.mark.parametrize(
    ('python', 'js'),
    [('load_model', 'loadModel'), ('MAX_SIZE', 'MAX_SIZE'), ('_private_name', '_private_name'), ('Tensor', 'Tensor'), ('q8', 'q8'), ('total_2', 'total2')],
)
def test_names(python: str, js: str) -> None:
    assert camel(python) == js


def shaders(module: Path) -> dict[str, str]:
    program = f"import {{ SHADERS }} from {json.dumps(module.as_uri())}; console.log(JSON.stringify([...SHADERS]));"
    done = subprocess.run(['node', '--input-type=module', '--eval', program], stdout=subprocess.PIPE, text=True, check=True)
    return unpacked(dict(json.loads(done.stdout)), {})


def unpacked(kernels: dict[str, str], words: dict[str, str]) -> dict[str, str]:
    """The texts of kernels, given the words of modules before, to which theirs are added."""
    first, *own = kernels.pop('', '').split(BETWEEN)
    words.update({chr(ord(first) + number): word for number, word in enumerate(own)})

    def plain(text: str) -> str:
        return ''.join(plain(words[letter]) if letter in words else letter for letter in text)

    found = {kernel: plain(text) for kernel, text in kernels.items()}
    assert ''.join(found.values()).isascii(), 'a word is not known'
    return found


def test_shaders_include_snippets_once(tmp_path: Path) -> None:
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'shared' / 'tile.wgsl').write_text('const TILE = 16u; // edge\n')
    (tmp_path / 'shared' / 'sum.wgsl').write_text('// include shared/tile.wgsl\nfn sum() {}\n')
    (tmp_path / 'matmul.wgsl').write_text('// include shared/tile.wgsl\n// include shared/sum.wgsl\n\n  fn main() { /* "quoted" */ }\n')
    target = build_shaders(tmp_path, tmp_path / 'out.js')
    assert target is not None
    assert shaders(target) == {'matmul': 'const a=16u;fn b(){}fn main(){}'}


def test_a_snippet_of_several_kernels_is_there_once(tmp_path: Path) -> None:
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'shared' / 'sum.wgsl').write_text('fn sum(left: f32, right: f32) -> f32 { return left - -right; }\n')
    for name in ('one', 'two'):
        (tmp_path / f'{name}.wgsl').write_text(f'// include shared/sum.wgsl\n$for i 2 {{\n  let {name}#i = sum(1.0, p.$FIELD);\n$}}\n')
    target = build_shaders(tmp_path, tmp_path / 'out.js')
    assert target is not None
    assert target.read_text().count('return') == 1
    assert shaders(target)['one'] == 'fn a(b:f32,c:f32)->f32{return b- -c;}$for i 2 {\nlet one#i=a(1.,p.$FIELD);\n$}\n'


def test_names_are_short_again_in_each_kernel_but_the_same_where_a_text_is(tmp_path: Path) -> None:
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'shared' / 'sum.wgsl').write_text('fn sum(x: f32) -> f32 { return x + 0.50; }\n')
    (tmp_path / 'one.wgsl').write_text('// include shared/sum.wgsl\nfn main() { let total = sum(1e-10); let left = total.x - -2.0 >= 3.; }\n')
    (tmp_path / 'two.wgsl').write_text('fn main() { var other = 0u; other++; other = $X - $Y - other; }\n')
    target = build_shaders(tmp_path, tmp_path / 'out.js')
    assert target is not None
    assert shaders(target) == {
        'one': 'fn a(x:f32)->f32{return x+.5;}fn main(){let b=a(1e-10);let c=b.x- -2.>=3.;}', 'two': 'fn main(){var a=0u;a++;a=$X- $Y-a;}',
    }


def test_words_stand_for_what_all_kernels_say_often() -> None:
    kernels = read_kernels(SOURCES)
    packed, first, size = Words(), {}, 0
    # Each of the others is there with the first alone.
    for names in [sorted(kernels)[:15], sorted(kernels)[15:20], sorted(kernels)[20:]]:
        made = packed.pack({name: kernels[name] for name in names}, [kernels[names[0]][0]])
        size += sum(map(len, made.values()))
        known = dict(first)
        assert unpacked(made, known) == {name: ''.join(kernels[name]) for name in names}
        first = first or known
    assert size < 0.5 * sum(len(piece) for parts in kernels.values() for piece in parts)


def test_a_missing_snippet_is_said_with_its_line(tmp_path: Path) -> None:
    (tmp_path / 'a.wgsl').write_text('fn a() {}\n// include none.wgsl\n')
    with pytest.raises(SystemExit, match='a.wgsl:2: there is no .*none.wgsl'):
        build_shaders(tmp_path, tmp_path / 'out.js')


def test_without_kernels_there_is_no_module(tmp_path: Path) -> None:
    assert build_shaders(tmp_path, tmp_path / 'out.js') is None
    assert not (tmp_path / 'out.js').exists()
