"""Which devices, besides the CPU, a page may have: asked once, and quickly. JS only; browser_machine.py tells all of it."""

from __future__ import annotations

__pragma__('js', r'''
let adapter, found;

// Asked for once; a browser that refuses or fails has none.
export function gpuAdapter() {
  return adapter ??= Promise.resolve(globalThis.navigator?.gpu?.requestAdapter({ powerPreference: 'high-performance' })).catch(() => null);
}

// A program on the CPU, which WASM is faster than.
export function isSoftware({ info, isFallbackAdapter }) {
  const { vendor, architecture, device, description } = info ?? {};
  return Boolean(info?.isFallbackAdapter ?? isFallbackAdapter) || /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp/i.test([vendor, architecture, device, description].join(' '));
}

async function look() {
  const gpu = await gpuAdapter(), found = gpu && !isSoftware(gpu) ? ['webgpu'] : [];
  if (globalThis.navigator?.ml) found.push('webnn');
  return found;
}
''')


async def accelerators() -> list[str]:
    __pragma__('js', 'return found ??= look();')
