"""How long dispatches take, by the GPU's own clock. JS only. See host/gpu_clock.py."""

from __future__ import annotations

from edgeflow.host.port import GpuCommand, GpuDevice

__pragma__('js', r'''
// Dispatches timed by one set of queries, which has at most 4096.
const MOST_TIMED = 2048;
''')


async def timed(device: GpuDevice, commands: list[GpuCommand]) -> list[float]:
    __pragma__('js', r'''
    const times = [];
    for (let at = 0; at < commands.length; at += MOST_TIMED) {
      const part = commands.slice(at, at + MOST_TIMED), count = 2 * part.length, encoder = device.raw.createCommandEncoder();
      const querySet = device.raw.createQuerySet({ type: 'timestamp', count });
      part.forEach(({ pipeline, group, groups, source, target }, i) => {
        if (!pipeline) {
          encoder.copyBufferToBuffer(source.buffer, source.offset, target.buffer, target.offset, source.size);
          return;
        }
        const pass = encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 } });
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(groups[0], groups[1], groups[2]);
        pass.end();
      });
      const buffer = device.raw.createBuffer({ size: 8 * count, usage: 512 | 4 });
      encoder.resolveQuerySet(querySet, 0, count, buffer, 0);
      device.raw.queue.submit([encoder.finish()]);
      const [data] = await device.run([], [{ buffer, offset: 0, size: 8 * count }]), stamps = new BigUint64Array(data.buffer);
      part.forEach(({ pipeline }, i) => times.push(pipeline ? Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6 : 0));
      buffer.destroy();
      querySet.destroy();
    }
    return times;
    ''')
