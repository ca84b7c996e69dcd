"""How long dispatches take, by the GPU's own clock. CPython only. See host/gpu_clock.py."""

from __future__ import annotations

from typing import cast

import numpy

from edgeflow.host.cpython_gpu import Device
from edgeflow.host.port import GpuCommand, GpuDevice

# Dispatches timed by one set of queries, which has at most 4096.
MOST_TIMED = 2048


async def timed(device: GpuDevice, commands: list[GpuCommand]) -> list[float]:
    opened = cast(Device, device)

    def work() -> list[float]:
        times: list[float] = []
        for at in range(0, len(commands), MOST_TIMED):
            times.extend(_part(opened, commands[at:at + MOST_TIMED]))
        return times

    return opened.guarded(work)


def _part(device: Device, commands: list[GpuCommand]) -> list[float]:
    count = 2 * len(commands)
    queries = device.raw.create_query_set(type='timestamp', count=count)
    encoder = device.raw.create_command_encoder()
    for i, command in enumerate(commands):
        if command.pipeline is None:
            device.copy(encoder, command)
            continue
        stamps = {'query_set': queries, 'beginning_of_pass_write_index': 2 * i, 'end_of_pass_write_index': 2 * i + 1}
        compute = encoder.begin_compute_pass(timestamp_writes=stamps)
        compute.set_pipeline(command.pipeline)
        compute.set_bind_group(0, command.group)
        compute.dispatch_workgroups(*command.groups)
        compute.end()
    resolved = device.raw.create_buffer(size=8 * count, usage=device.usage.QUERY_RESOLVE | device.usage.COPY_SRC)
    encoder.resolve_query_set(queries, 0, count, resolved, 0)
    device.raw.queue.submit([encoder.finish()])
    ticks = numpy.frombuffer(device.raw.queue.read_buffer(resolved), numpy.uint64).reshape(-1, 2)
    resolved.destroy()
    spans = (ticks[:, 1] - ticks[:, 0]).astype(numpy.float64) / 1e6
    return [0.0 if command.pipeline is None else float(span) for command, span in zip(commands, spans, strict=True)]
