"""Parts of edgeflow that are fetched when they are needed (toolchain/parts.py), in browsers and Node. JS only.

The registry of the bundle tells where the parts lie, in the form that bundlers look for. Workers may run a copy of edgeflow.js that a bundler has
put elsewhere, or no file of their own: their page tells them the addresses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.errors import EdgeflowError


def _failed(message: str) -> EdgeflowError:
    return EdgeflowError('file-missing', message)


__pragma__('js', r'''
// Beside the parts: the second binaries, for workers that run a copy of edgeflow.js.
const addresses = {
  'edgeflow-more-simd.wasm': () => new URL('./edgeflow-more-simd.wasm', import.meta.url).href,
  'edgeflow-more-relaxed.wasm': () => new URL('./edgeflow-more-relaxed.wasm', import.meta.url).href,
};
const opened = new Map();
let failures = 0, folder = () => null;

/** Where a part lies; a copy of edgeflow.js that lies nowhere, as a blob does, finds them in the folder of the .wasm files. */
function place(name) {
  const address = addresses[name];
  if (typeof address === 'string') return address;
  try {
    return address();
  } catch (error) {
    if (folder() === null) throw error;
    return new URL(name.endsWith('.wasm') ? name : `edgeflow-${name}.js`, new URL(folder(), globalThis.location?.href)).href;
  }
}

async function open(name, build, given) {
  try {
    const url = place(name);
    // Browsers remember an address that failed as one that fails.
    const [file, taken] = await Promise.all([
      import(/* webpackIgnore: true */ /* @vite-ignore */ failures > 0 ? `${url}?${failures}` : url), given(),
    ]);
    if (file.build !== build) throw new Error('it is of another build');
    return file.default(taken);
  } catch (error) {
    opened.delete(name);
    failures++;
    throw _failed(`edgeflow-${name}.js, expected beside edgeflow.js, cannot be used: ${error.message}`);
  }
}
''')


def address_parts(found: object) -> None:
    """For the registry: how to make the address of each part."""
    __pragma__('js', 'Object.assign(addresses, found);')


def open_part(name: str, build: str, given: Callable[[], object]) -> Awaitable[object]:
    """For the registry: what others import of a part. given: makes the array that it takes, or the promise of one. Fetched once; a failure is forgotten, so that the next call tries again."""
    __pragma__('js', r'''
    if (!opened.has(name)) opened.set(name, open(name, build, given));
    return opened.get(name);
    ''')


def part_address(name: str) -> str:
    """Where one of them lies. A TypeError if that is not known here."""
    __pragma__('js', 'return place(name);')


def part_addresses() -> object:
    __pragma__('js', r'''
    const found = {};
    for (const name of Object.keys(addresses)) {
      try {
        found[name] = place(name);
      } catch {
        return {};
      }
    }
    return found;
    ''')


def use_part_addresses(found: object) -> None:
    __pragma__('js', 'Object.assign(addresses, found);')


def template_engine() -> Awaitable[object]:
    """edgeflow-jinja.js, which renders chat templates. 'file-missing'. Here, not where it is used: bundlers do not look into parts."""
    __pragma__('js', r'''
    return import('./edgeflow-jinja.js').catch(error => {
      throw _failed(`edgeflow-jinja.js, which renders chat templates, was not found beside edgeflow.js: ${error.message}`);
    });
    ''')


def find_parts_in(wasm_folder: Callable[[], str | None]) -> None:
    __pragma__('js', 'folder = wasmFolder;')
