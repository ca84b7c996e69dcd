"""What every device that a page can lose has to bear: it is taken away between runs, within one, and in a worker."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Page

from toolchain.serve import Server

ROWS = {'input_ids': [2, 5, 9, 3], 'attention_mask': [1, 1, 1, 1], 'token_type_ids': [0, 0, 0, 0]}
MODEL = '/models/bert-mini-sentence/onnx/model.onnx'

# given(): the inputs as tensors; values(model): the numbers of the first output; same(lists, first): whether all are as the first.
PRELUDE = """
  const { env, loadModel, memoryStats, tensor } = await import('/dist/edgeflow.js');
  const given = (extra = {}) => Object.fromEntries(Object.entries({ ...inputs, ...extra }).map(([name, rows]) => [name, tensor(rows, [1, rows.length], 'int64')]));
  const values = async model => [...Object.values(await model.run(given()))[0].data];
  const same = (lists, first) => lists.every(list => list.every((x, i) => x === first[i]));
"""


@dataclass(frozen=True)
class Opening:
    """How a page comes by a device. name: edgeflow's; owner, method: of the platform, what opens one."""

    name: str
    owner: str
    method: str


# In a page without workers the device is the page's own, so that it can be taken here.
LOSE = """async ([url, inputs]) => {
  const opened = [], open = %(owner)s.prototype.%(method)s;
  %(owner)s.prototype.%(method)s = async function (...args) {
    const device = await open.apply(this, args);
    opened.push(device);
    return device;
  };
  %(prelude)s
  env.workers = 0;
  const model = await loadModel(url, { device: '%(name)s' });
  const run = () => values(model);
  const first = await run();
  const bytes = memoryStats().gpu.size;
  opened[0].destroy();
  await opened[0].lost;
  const second = await run();
  // Lost in the middle: before the answer can have come.
  %(middle)s
  const third = await run();
  model.dispose();
  return { same: same([second, third], first), count: first.length, opened: opened.length, code, bytes, left: memoryStats().gpu.size };
}"""

# A worker whose device can be destroyed from the page.
WORKER = """
  const open = %(owner)s.prototype.%(method)s, channel = new BroadcastChannel('lose-%(name)s');
  %(owner)s.prototype.%(method)s = async function (...args) {
    const device = await open.apply(this, args);
    channel.onmessage = () => { device.destroy(); device.lost.then(() => channel.postMessage('lost')); };
    return device;
  };
  import '%(library)s';
"""
LOSE_IN_WORKER = """async ([url, source, inputs]) => {
  %(prelude)s
  env.workerUrl = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const model = await loadModel(url, { device: '%(name)s' });
  const channel = new BroadcastChannel('lose-%(name)s'), first = await values(model), placement = model.placement();
  const lost = new Promise(resolve => { channel.onmessage = resolve; });
  channel.postMessage('now');
  await lost;
  const second = await values(model);
  model.dispose();
  return { same: same([second], first), count: first.length, placement };
}"""


def check_lost_device(page: Page, server: Server, opening: Opening, middle: str) -> None:
    """It is opened again, and the model with it. middle: JS that makes `code`, that of a run whose device, `opened[1]`, is lost meanwhile."""
    seen = page.evaluate(LOSE % {**vars(opening), 'prelude': PRELUDE, 'middle': middle}, [server.url(MODEL), ROWS])
    assert seen['code'] == 'device-lost'
    assert seen['same'] and seen['count'] > 0 and seen['opened'] == 3
    assert seen['bytes'] > 0 and seen['left'] == 0


def check_device_lost_in_worker(page: Page, server: Server, opening: Opening) -> dict:
    """It is opened again; the placement of the first run."""
    source = WORKER % {**vars(opening), 'library': server.url('/dist/edgeflow.js')}
    seen = page.evaluate(LOSE_IN_WORKER % {**vars(opening), 'prelude': PRELUDE}, [server.url(MODEL), source, ROWS])
    assert seen['same'] and seen['count'] > 0
    assert seen['placement']['device'] == opening.name and seen['placement']['nodes']['edgeflow:MatMul'] > 0
    return seen['placement']
