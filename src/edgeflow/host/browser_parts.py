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
  'edgeflow-more-simd.wasm': () => new URL('./edgeflow-more-simd.wasm', import.meta.url),
  'edgeflow-more-relaxed.wasm': () => new URL('./edgeflow-more-relaxed.wasm', import.meta.url),
};
const opened = new Map();
let failures = 0, folder = () => null, build, core;

/** Vite's development server runs a copy of edgeflow.js from a folder of its own and leaves what lies beside it where it is. */
export const placed = url => url.href.replace('/.vite/deps/', '/edgeflow/dist/');

/** Where a part lies; a copy of edgeflow.js that lies nowhere, as a blob does, finds them in the folder of the .wasm files. */
function place(name) {
  const address = addresses[name];
  if (typeof address === 'string') return address;
  try {
    return placed(address());
  } catch (error) {
    if (folder() === null) throw error;
    return new URL(name.endsWith('.wasm') ? name : `edgeflow-${name}.js`, new URL(folder(), globalThis.location?.href)).href;
  }
}

async function open(name, needs) {
  let url = `edgeflow-${name}.js`;
  try {
    url = place(name);
    const [file, ...made] = await Promise.all([
      // Browsers remember an address that failed as one that fails. toolchain/minify.mjs tells bundlers to leave this import alone.
      import(url + (failures > 0 ? `?${failures}` : '')), ...needs.map(need => need()),
    ]);
    if (file.build !== build) throw new Error('it is of another build');
    return file.default([...made, ...core()]);
  } catch (error) {
    opened.delete(name);
    failures++;
    throw _failed(`${url}, a file of edgeflow's dist/, cannot be used: ${error.message}`);
  }
}

/** For the registry: this build, what makes the array of all that parts use of edgeflow.js, and how to make the address of each part. */
export function knowParts(ownBuild, ownCore, found) {
  build = ownBuild;
  core = ownCore;
  Object.assign(addresses, found);
}

/** For the registry: the promise of what others import of a part. needs: open those that it builds on. Fetched once; a failure is forgotten, so that the next call tries again. */
export function openPart(name, ...needs) {
  if (!opened.has(name)) opened.set(name, open(name, needs));
  return opened.get(name);
}
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
