"""The helpers of a model, seen from the thread that leads its runs. The leader lays out their memory: weights, arena, tapes.

A share of a stretch (shares.py) is sent with what it reads, and comes back as a partial sum. Weights are sent once, only those
rows and columns that the share needs. Where memory is shared, nothing is sent but where the share is in the leader's tape. A helper that goes away, or is lost, costs the leader the work that it did not do.
"""

from __future__ import annotations

from typing import cast

from edgeflow.backends.contract import HelperLink, RunControl
from edgeflow.backends.wasm.engine import WasmEngine
from edgeflow.backends.wasm.executable import WasmExecutable
from edgeflow.backends.wasm.plans import WasmPlan, run_part, step_ends_of
from edgeflow.backends.wasm.lower_dense import COLUMNS, INNER, LINE
from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.backends.wasm.memory import Heap
from edgeflow.backends.wasm.shares import B, FLOAT, LINES, PANEL
from edgeflow.host.platform import bytes_memory, new_bytes, copy_bytes, new_deferred, own_bytes, write_i32s
from edgeflow.host.port import Bytes, Deferred, MessagePort
from edgeflow.plan.link import WORD
from edgeflow.plan.stretches import Share, SharePlan
from edgeflow.plan.values import Pointer, Step, Value

# WebAssembly's memory grows by pages.
PAGE = 65536
TAPE_BYTES = 4096
# As toolchain/wasm.py gives the kernels.
STACK_BYTES = 65536
GEMM_ROWS_WORDS = 15


class HelperMemory:
    """What a Heap needs of the memory of a helper, which grows as it is told where to write."""

    def __init__(self) -> None:
        self._size: int = 0

    def memory_size(self) -> int:
        return self._size

    def grow(self, size: int) -> None:
        self._size = size


class Link:
    """The way to one helper, for all models of this thread."""

    def __init__(self, port: MessagePort) -> None:
        self.lost: bool = False
        self._port: MessagePort = port
        self._members: list[Member] = []
        self._numbers: int = 0
        port.on_message(lambda message: self._hear(cast('dict[str, object]', message)))

    def tell(self, message: dict[str, object], transfer: list[object]) -> None:
        """Send a message; nobody hears it once the helper is lost."""
        if not self.lost:
            self._port.post(message, transfer)

    def join(self, member: Member) -> None:
        """Tell `member` what the helper says."""
        self._members.append(member)

    def leave(self, member: Member) -> None:
        """The model of `member` is gone."""
        self._members = [other for other in self._members if other is not member]

    def next_number(self) -> int:
        """A number that no run and no model of this link has yet."""
        self._numbers = self._numbers + 1
        return self._numbers

    def lose(self) -> None:
        """The helper is gone."""
        self.lost = True
        self._port.close()
        for member in self._members:
            member.hear(0, False, None)

    def _hear(self, message: dict[str, object]) -> None:
        for member in self._members:
            member.hear(cast(int, message['run']), message['kind'] == 'partial', cast('Bytes | None', message.get('data')))


class Member:
    """A helper of one model. name: tells it from the model's other members. number: what the helper knows the model by."""

    def __init__(self, link: Link, name: int, engine: WasmEngine) -> None:
        self.link: Link = link
        self.name: int = name
        self.number: int = link.next_number()
        self._engine: WasmEngine = engine
        self._shared: bool = engine.instance.shared_memory() is not None
        self._stack: int = engine.heap.allocate(STACK_BYTES) if self._shared else 0
        self._heap: Heap = Heap(HelperMemory(), engine.instance.global_value('__heap_base'))
        self._tape: int = self._heap.allocate(TAPE_BYTES)
        self._arena: int = 0
        self._arena_size: int = 0
        self._pieces: dict[str, int] = {}
        self._run: int = 0
        self._present: bool = False
        self._arriving: Deferred | None = None
        self._done: bool = False
        self._partial: Bytes | None = None
        link.join(self)
        message = self._message('open', [])
        message['memory'] = engine.instance.shared_memory()
        message['stack'] = self._stack + STACK_BYTES
        link.tell(message, [])

    def begin(self, arena_size: int) -> None:
        """A run begins, of a plan whose arena has this size."""
        if arena_size > self._arena_size and not self._shared:
            if self._arena_size > 0:
                self._heap.free(self._arena)
            self._arena = self._heap.allocate(arena_size)
            self._arena_size = arena_size
        self._present = not self.link.lost
        self._run = self.link.next_number()
        self._tell('begin', [])

    def end(self) -> None:
        """The run has ended, or what is left of it the leader does alone."""
        self._present = False
        self._tell('end', [])

    def plan(self, share: Share, known: SharePlan | None) -> SharePlan:
        """How the helper runs the share, its weights sent there. known: what this gave before; it is right while the arena stays."""
        if known is not None and (known.arena == self._arena or self._shared):
            return known
        if self._shared:
            return SharePlan(share, 0, [], [], 0)
        words: list[int] = []
        for step in share.steps:
            rows = step.kernel == 'gemm_rows_f32'
            words.append(self._engine.kernels[step.kernel])
            words.append(len(step.words))
            for i in range(len(step.words)):
                word = step.words[i]
                if isinstance(word, Pointer):
                    words.append(self._address(step, i, word))
                else:
                    # The rows of the panels that are there are those that are used.
                    words.append(cast(int, step.words[INNER]) if rows and i == GEMM_ROWS_WORDS - 1 else word)
        inputs = [self._arena + value.place() for value in share.inputs]
        return SharePlan(share, self._arena, words, inputs, self._arena + share.partial.place())

    def send(self, plan: SharePlan, base: int, tape: int, words: int) -> None:
        """Have the share done. base: where the leader's arena is. tape, words: the address and length of the share in the leader's tape."""
        if not self._present:
            return
        data: list[object] = []
        transfer: list[object] = []
        if not self._shared:
            for i in range(len(plan.share.inputs)):
                value = plan.share.inputs[i]
                self._add(data, transfer, plan.input_addresses[i], own_bytes(self._engine.view(base + value.place(), value.size), False))
            code = new_bytes(len(plan.words) * WORD)
            write_i32s(code, 0, plan.words)
            self._add(data, transfer, self._tape, code)
        self._arriving = new_deferred()
        message = self._message('share', data)
        message['tape'] = [tape, words] if self._shared else [self._tape, len(plan.words)]
        message['partial'] = [plan.partial_address, plan.share.partial.size]
        self.link.tell(message, transfer)

    async def arrival(self) -> None:
        """Wait until the share that was sent is done, or it is clear that it will not be."""
        if self._arriving is not None:
            await self._arriving.result()

    def take(self, share: Share, base: int) -> bool:
        """Whether the share that was sent is done: then its partial sum is in the leader's arena at `base`. If not, the helper has gone away."""
        if self._done and self._partial is not None:
            self._engine.upload(base + share.partial.place(), self._partial)
        done = self._done
        self._done = False
        self._partial = None
        self._arriving = None
        return done

    def present(self) -> bool:
        """Whether it takes shares of this run."""
        return self._present

    def hear(self, run: int, done: bool, data: Bytes | None) -> None:
        """The helper says that it did its share of a run, or that it goes away. data: the partial sum, of a helper with memory of its own. run 0: it is lost."""
        if run > 0 and run != self._run:
            return
        if not done:
            self._present = False
        if self._arriving is not None:
            self._done = done
            self._partial = data
            self._arriving.resolve(None)

    def bytes(self) -> int:
        """What it takes of the helper's memory."""
        return 0 if self.link.lost or self._shared else (self._heap.capacity() + PAGE - 1) // PAGE * PAGE

    def close(self) -> None:
        """The model is gone."""
        self._tell('close', [])
        self.link.leave(self)

    def _address(self, step: Step, index: int, word: Pointer) -> int:
        root = word.value.root()
        offset = word.value.root_offset() + word.offset
        if not root.constant:
            return self._arena + root.offset + offset
        if index != B and index != LINES:
            return self._piece(root, 0, root.size, root.size, 1) + offset
        row = PANEL * FLOAT
        size = cast(int, step.words[INNER]) * row
        stride = cast(int, step.words[GEMM_ROWS_WORDS - 1]) * row if len(step.words) == GEMM_ROWS_WORDS else size
        panels = (cast(int, step.words[COLUMNS]) + PANEL - 1) // PANEL
        if index == B:
            return self._piece(root, offset, size, stride, panels)
        if size % LINE != 0 or stride % LINE != 0:
            return 0
        return self._piece(root, offset, size // LINE, stride // LINE, panels)

    def _piece(self, root: Value, start: int, size: int, stride: int, count: int) -> int:
        """The helper's address of `count` pieces of a weight, `size` bytes each, which lie `stride` apart; sent the first time."""
        key = f'{root.address} {start} {size} {count}'
        address = self._pieces.get(key)
        if address is None:
            address = self._heap.allocate(size * count)
            self._pieces[key] = address
            data = new_bytes(size * count)
            for i in range(count):
                copy_bytes(data, i * size, self._engine.view(root.address + start + i * stride, size))
            rows: list[object] = []
            transfer: list[object] = []
            self._add(rows, transfer, address, data)
            self.link.tell(self._message('write', rows), transfer)
        return address

    def _add(self, rows: list[object], transfer: list[object], address: int, data: Bytes) -> None:
        rows.append([address, data])
        transfer.append(bytes_memory(data))

    def _tell(self, kind: str, data: list[object]) -> None:
        self.link.tell(self._message(kind, data), [])

    def _message(self, kind: str, data: list[object]) -> dict[str, object]:
        return {'kind': kind, 'model': self.number, 'run': self._run, 'size': self._heap.capacity(), 'data': data}


class Crew:
    """executable.HelpedRuns: the members of one model, and its runs with them."""

    def __init__(self, executable: WasmExecutable, machine: WasmMachine) -> None:
        self._executable: WasmExecutable = executable
        self._machine: WasmMachine = machine
        self._members: list[Member] = []
        self._hired: int = 0

    async def run(self, plan: WasmPlan, helpers: list[HelperLink], control: RunControl | None) -> int:
        """Run the tape, the shares of its stretches on the crew while it is there; what run_tape gives."""
        crew = self._those_of(helpers)
        for member in crew:
            member.begin(plan.draft.arena_size)
        try:
            done = await self._run_stretches(plan, crew, control)
        finally:
            for member in crew:
                # What a helper has begun it may still be writing, into this memory if it is shared.
                await member.arrival()
                member.end()
        return -done if done < 0 else await self._executable.run_slices(self._machine, plan, done, control)

    async def _run_stretches(self, plan: WasmPlan, crew: list[Member], control: RunControl | None) -> int:
        """Run until the end of the last stretch, or until the crew is gone: how many steps are done; what run_tape gave, negative, if it failed."""
        ends = step_ends_of(plan)
        done = 0
        for stretch in plan.draft.stretches:
            if len([member for member in crew if member.present()]) == 0:
                break
            code = run_part(self._machine, plan, done, stretch.first)
            helped = min(len(crew), len(stretch.shares))
            for i in range(helped):
                share = stretch.shares[i]
                start = ends[share.first - 1]
                crew[i].send(self._share_plan(plan, crew[i], share), plan.arena_base, plan.tape_address + start * WORD, ends[share.last - 1] - start)
            if code == 0:
                code = run_part(self._machine, plan, stretch.start, stretch.shares[0].first)
            for i in range(len(stretch.shares)):
                share = stretch.shares[i]
                arrived: bool = False
                if i < helped and code == 0:
                    await self._executable.let_go(crew[i].arrival(), control, stretch.first, plan.count)
                    arrived = crew[i].take(share, plan.arena_base)
                if not arrived and code == 0:
                    code = run_part(self._machine, plan, share.first, share.last)
            if code == 0:
                code = run_part(self._machine, plan, stretch.shares[-1].last, stretch.end)
            if code != 0:
                return -code
            done = stretch.last
        return done

    def _those_of(self, helpers: list[HelperLink]) -> list[Member]:
        """The members that these helpers are."""
        self._members = [member for member in self._members if not member.link.lost]
        crew: list[Member] = []
        for link in cast('list[Link]', helpers):
            found: Member | None = None
            for member in self._members:
                if member.link is link:
                    found = member
            if found is None:
                self._hired = self._hired + 1
                found = Member(link, self._hired, self._machine.engine)
                self._members.append(found)
            crew.append(found)
        return crew

    def _share_plan(self, plan: WasmPlan, member: Member, share: Share) -> SharePlan:
        key = f'{member.name} {share.first}'
        planned = member.plan(share, plan.helped.get(key))
        plan.helped[key] = planned
        return planned

    def bytes(self) -> int:
        total = 0
        for member in self._members:
            total = total + member.bytes()
        return total

    def close(self) -> None:
        for member in self._members:
            member.close()
        self._members = []
