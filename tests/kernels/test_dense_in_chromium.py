"""Products of 8-bit integers in Chromium, where the CPU's own dot product may be in use: exact from the first call on, in every tier.

wasmtime has another instruction for the relaxed dot product, so that its tests do not reach panels stored whole (panel_i8.h).
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser

from tests.conftest import Server
from toolchain.browser import launch_options

# Packs weights and multiplies many times over, more than it takes V8 to replace Liftoff's code by TurboFan's.
MULTIPLY = """async ([address, rounds]) => {
  const { instance } = await WebAssembly.instantiate(await (await fetch(address)).arrayBuffer());
  const { memory, kernel_names, run_tape, __heap_base } = instance.exports;
  memory.grow(64);
  const bytes = new Uint8Array(memory.buffer);
  const names = [];
  for (let at = kernel_names(); bytes[at]; at += names.at(-1).length + 1) {
    names.push(new TextDecoder().decode(bytes.slice(at, bytes.indexOf(0, at))));
  }
  let top = __heap_base.value;
  const take = size => { const at = (top + 63) & ~63; top = at + size; return at; };
  const run = (name, ...words) => {
    const at = take(4 * words.length + 8);
    new Int32Array(memory.buffer, at).set([names.indexOf(name), words.length, ...words]);
    const code = run_tape(at, words.length + 2);
    top = at;
    if (code) throw new Error(`${name}: ${code}`);
  };
  let state = 1;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8 & 255;
  const KINDS = { full: random, ends: () => [0, 127, 128, 255][random() & 3], half: () => random() >> 1 };
  const K = 131, N = 45, cases = [], forms = new Set();
  for (const [kind, next] of Object.entries(KINDS)) {
    for (const [aType, bType] of [[2, 3], [2, 2], [3, 3], [3, 2]]) {
      const signed = (x, type) => type === 3 ? x << 24 >> 24 : x;
      const m = 1 + 3 * cases.length;
      const a = take(m * K), b = take(K * N), packed = take(4 * 6 * (64 + 8 * 33) * 65 / 64), c = take(4 * m * N);
      for (let i = 0; i < m * K; i++) bytes[a + i] = KINDS[kind === 'half' ? 'full' : kind]();
      for (let i = 0; i < K * N; i++) bytes[b + i] = next();
      const expected = [];
      for (let i = 0; i < m * N; i++) {
        let sum = 0;
        for (let k = 0; k < K; k++) sum += signed(bytes[a + Math.floor(i / N) * K + k], aType) * signed(bytes[b + k * N + i % N], bType);
        expected.push(sum);
      }
      run('pack_i8', b, packed, K, N, N, 1, bType);
      forms.add(bytes[packed + 64]);
      cases.push({ m, a, c, packed, aType, bType, expected, kind });
    }
  }
  const scratch = take(34 * (12 * 33 + 8));
  for (let round = 0; round < rounds; round++) {
    for (const { m, a, c, packed, aType, bType, expected, kind } of cases) {
      run('matmul_integer', a, aType, 0, 1, packed, bType, 0, 1, c, m, N, K, scratch);
      const got = new Int32Array(memory.buffer, c, m * N);
      for (let i = 0; i < m * N; i++) {
        if (got[i] !== expected[i]) throw new Error(`${kind}, round ${round}, place ${i} of ${m} x ${N}: expected ${expected[i]}, got ${got[i]}`);
      }
    }
  }
  return [...forms].sort();
}"""


def stored_forms(browser: Browser, server: Server, flags: str, rounds: int) -> list[int]:
    """How the panels were stored, after `rounds` exact products in a Chromium with these flags of V8."""
    options = launch_options(SimpleNamespace(chromium=browser.browser_type), extra=[f'--js-flags={flags}'] if flags else [])
    started = browser.browser_type.launch(**options)
    try:
        page = started.new_page()
        page.goto(server.url('/blank.html'))
        return page.evaluate(MULTIPLY, [server.url('/dist/edgeflow-relaxed.wasm'), rounds])
    finally:
        started.close()


def test_products_are_exact_in_every_tier_and_the_tiers_agree_on_the_dot_product(browser: Browser, server: Server) -> None:
    tiers = [stored_forms(browser, server, flags, rounds) for flags, rounds in [('', 1000), ('--liftoff-only', 50), ('--no-liftoff', 50)]]
    assert tiers[0] == tiers[1] == tiers[2]


@pytest.mark.parametrize('flags', ['--no-enable-avx-vnni', '--no-enable-avx', '--no-enable-avx2'])
def test_products_are_exact_without_some_instructions(browser: Browser, server: Server, flags: str) -> None:
    stored_forms(browser, server, flags, 50)
