"""What a browser can compute with, in detail. JS only. See host/port.py for the contract."""

from __future__ import annotations

from edgeflow.host.port import Machine


def _made(gpu: str, software: bool, features: list[str], limits: dict[str, int], webnn: list[str], cores: int, platform: str) -> Machine:
    return Machine(gpu, software, features, limits, webnn, cores, platform)


__pragma__('js', r'''
import { gpuAdapter, isSoftware } from './browser_devices.js';

let looked;

// The device types that a context can be had for; a browser may give one of another kind, which it does not tell.
async function contexts() {
  const ml = globalThis.navigator?.ml, found = [];
  for (const deviceType of ml ? ['cpu', 'gpu', 'npu'] : []) {
    const context = await Promise.resolve(ml.createContext({ deviceType })).catch(() => null);
    if (context) found.push(deviceType);
    context?.destroy?.();
  }
  return found;
}

async function look() {
  const adapter = await gpuAdapter(), limits = new Map(), info = adapter?.info ?? {};
  for (const name in adapter?.limits) limits.set(name, adapter.limits[name]);
  const name = [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(' ');
  return _made(adapter ? name || 'a GPU without a name' : '', Boolean(adapter) && isSoftware(adapter), [...adapter?.features ?? []], limits, await contexts(),
    globalThis.navigator?.hardwareConcurrency ?? 1, globalThis.navigator?.userAgent ?? '');
}
''')


async def machine() -> Machine:
    __pragma__('js', 'return looked ??= look();')
