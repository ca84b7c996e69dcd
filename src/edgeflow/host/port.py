"""What edgeflow asks of a platform. `host/browser.py` (browsers, Node) and `host/cpython.py` both give all of it.

Product modules import from `edgeflow.host.platform`, which is the one or the other. Nothing else in edgeflow touches
the clock, the network, files, WebAssembly, workers or the platform's own kinds of data.

Functions that a platform gives (names are the same on both sides):

Binary data
    new_bytes(size) -> Bytes                      zero-filled
    bytes_of(values: list[int]) -> Bytes
    as_bytes(value) -> Bytes | None               whatever holds raw bytes (ArrayBuffer, Uint8Array, DataView / bytes, bytearray,
                                                  memoryview), as a view; None for anything else
    join_bytes(parts: list[Bytes]) -> Bytes
    copy_bytes(target: Bytes, offset: int, source: Bytes) -> None       one native copy; IndexError if it does not fit
    utf8_decode(data: Bytes) -> str               raises ValueError on invalid UTF-8
    utf8_encode(text: str) -> Bytes
    read_u32 / read_i32 / read_f32 / read_f64(data, offset), read_i64(data, offset)   little-endian numbers
    float_bits(x: float) -> int                   the 32 bits of x as float32, as a signed int
    write_i32s(data: Bytes, offset: int, words: list[int]) -> None      two's complement, little-endian
    Reading past the end raises IndexError. read_i64 beyond 2^53 gives the nearest number in JS.

Arrays (JS: typed arrays; CPython: one-dimensional numpy arrays)
    new_array(dtype, size) -> NumericArray ; array_of(dtype, values: list) -> NumericArray
    array_view(dtype, data: Bytes) -> NumericArray       the same bytes where alignment allows, else a copy
    array_copy(dtype, data: Bytes) -> NumericArray       always a copy
    array_bytes(array) -> Bytes                          a view
    array_list(array) -> list                            numbers (int64 too: EdgeflowError beyond 2^53 - 1, where JS numbers
                                                         are not exact), bools for bool where the platform has them
    array_ints(array) -> list[int]                       whole numbers; NaN as 0; those beyond 2^53 - 1 are clamped to it (the INT64_MAX
                                                         that Slice means as "to the end" stays usable)
    array_dtype(array) -> str | None                     None: not a numeric array (then it may be a list)
    array_size(array) -> int ; array_shape(array) -> list[int]          JS: always [size]; numpy arrays may have any rank
    array_flat(array) -> NumericArray                    one-dimensional, row-major; the same memory where it is that already
    plain_list(value) -> tuple[list, list[int]] | None   nested lists or tuples (or a scalar) -> flat list and shape
    float16 arrays: Float16Array where the browser has it, else Uint16Array holding the bits; numpy.float16.
    bfloat16 arrays: Uint16Array / numpy.uint16 holding the bits. bool arrays: Uint8Array / numpy.bool_.
    array_of rounds and wraps as typed arrays do (300 as uint8 is 44). A dtype without arrays is EdgeflowError
    'invalid-argument', and so are ragged nested lists.

Rows of float32 arrays [n, width]
    mean_rows(array, width, groups: list[list[int]]) -> NumericArray    [groups, width]: the mean of each group's rows; of none: zeros
    unit_rows(array, width) -> NumericArray                             every row divided by its Euclidean length; zeros stay zeros

Choosing among logits (host.logits). The same numbers on every platform, to the last bit
    highest(array) -> int                                the index of the greatest, the first of equals; -1 if all are -inf or NaN
    exp_weights(array, top, temperature) -> NumericArray float64 e^((x - top) / temperature), relative error 1e-14; 0 for -inf and NaN;
                                                         top: the greatest of them
    weight_sum(weights) -> float                         added from the first to the last
    draw(weights, goal) -> int                           where the sum so far first exceeds the goal, else the last above 0
    cut(keys, weights | None, goal) -> float             the key at which the weights (None: 1 each) of the greatest keys, added
                                                         from the greatest down, first reach the goal, else the smallest; needs
                                                         a key above -inf. In time linear in the number of keys
    at_least(keys, threshold) -> NumericArray            int32 indices of the keys from the threshold up
    take(array, indices) -> NumericArray                 the elements at these indices
    typical_keys(array, weights, top, temperature) -> NumericArray      float64: minus how far each element's information is from
                                                         the mean; the weights are its exp_weights(); -inf where they are 0

Data
    json_parse(text) -> object (dict, list, str, ...)    raises ValueError
    json_text(value) -> str
    to_dict(mapping) -> dict[str, object]                a plain JS object or Map / any Mapping -> dict
    native_mapping(d: dict[str, object]) -> object       dict -> a plain JS object / the dict itself
    make_callable(target: T) -> T                        the object, which can now be called: that calls its run(). JS: a function
                                                         whose prototype is `target`; use what is returned, not `target`

Time, chance, tasks
    now() -> float                                       milliseconds, monotonic
    epoch_ms() -> float                                  milliseconds since 1970, comparable between visits
    async sleep(ms: float) -> None
    random_bytes(size) -> Bytes
    async gather(awaitables: list) -> list               all run at once; the first failure is raised
    signal_aborted(signal) -> bool ; on_abort(signal, callback) -> Callable[[], None]   returns "stop listening"
        signal None: never aborted. on_abort of a signal that is aborted already calls back at once.
    new_abort_controller() -> AbortController            with .signal and .abort(), as browsers have it
    warn(message: str) -> None                           console.warn / warnings.warn
    async pause() -> None                                lets go of the thread for a moment: messages, input and frames that wait
                                                         are handled before it goes on. For long work; costs some microseconds
    start_task(work: Callable[[], Awaitable]) -> None    runs it beside the caller, who does not wait; it must catch its own errors
    readable_stream(pull, cancel) -> object              JS: a ReadableStream of what `await pull()` gives, to its end at None, which
                                                         asks when it is read; CPython: an async iterator
    new_deferred() -> Deferred                           a result that comes later
    error_stack(error: Exception) -> str                 where it was raised, as text; '' if the platform does not say
    set_error_stack(error: Exception, stack: str) -> None       show `stack` as where it was raised: it came from another thread

Files and network
    async fetch(url, headers: dict[str, str], signal, cache) -> Response       network failure: EdgeflowError 'http'; abort: 'aborted'
        cache: how the platform's HTTP cache takes part, as in the Fetch standard ('default', 'no-store', ...); CPython has none
    async read_file(path: str) -> Bytes | None                          None: no such file; browsers always None; file: URLs too
    is_url(source: str) -> bool                                         http:, https:, blob: and data: addresses
    reads_files() -> bool                                               False in browsers: there a path is a relative URL
    async open_store(name: str) -> KeyValueStore                        IndexedDB, in Node a folder / sqlite3; both at
                                                                        $EDGEFLOW_CACHE, else the user's cache folder
    async open_place(place: object, size: int) -> StoredPiece | None    a value of `size` bytes, from where KeyValueStore.place() says it is;
                                                                        None where it cannot be read so (now, here, or any more)
    free_headers(url: str) -> bool                                      whether a request may have any header: False in browsers for
                                                                        other origins, whose servers would be asked first (CORS)
    async storage_room() -> list[int | None]                            [bytes used, bytes allowed] by the platform; None: it does not say
    async persist_storage() -> bool                                     ask that stored data be kept under pressure; whether it will be
    async with_lock(name: str, signal, work: Callable[[], Awaitable[T]]) -> T       work() while no other tab does so under this name;
                                                                        EdgeflowError 'aborted' while waiting. CPython, Node: at once
    new_sha256() -> Sha256
    hold_memory(data: Bytes), drop_memory(data: Bytes)                  count the users of the memory behind `data`; when the last has
                                                                        dropped it, it is freed at once and no view of it is usable

WebAssembly
    wasm_features() -> WasmFeatures                                     probed once
    async load_asset(name: str, location: str | None) -> Bytes          a file of dist/, e.g. 'edgeflow-relaxed.wasm'
    async compile_wasm(code: Bytes) -> WasmModule                       once for the same bytes; in JS other threads can take it
    async start_wasm(module: WasmModule, memory: object | None = None) -> WasmInstance    on a memory of its own, or on another
                                                                       instance's shared_memory()
    isolated() -> bool                                                 whether threads can share memory here
    async instantiate_wasm(code: Bytes) -> WasmInstance                 both

Texts of rare operators (from edgeflow.host.strings)
    match_fully(pattern: str, texts: list[str]) -> list[bool] | None    whether each text as a whole matches a regular expression of RE2's
                                                         syntax; None: it is none
    find_matches(pattern: str, text: str) -> list[str] | None            all matches that are not empty, one after the other; None: as above
    parse_number(text) -> float | None                   a decimal number, 'nan', 'inf'; None: it is none
    number_text(x, dtype) -> str                         the shortest decimal that is x as 'float32' or 'float64', as numpy writes it

Images (from edgeflow.host.images)
    async decode_image(data: Bytes) -> Picture           an encoded image; 'run-failed' if the platform cannot read it, 'platform' in Node

Devices
    async accelerators() -> list[str]                                  the devices besides WASM that a choice can be made of, looked for once:
                                                                       'webgpu' where there is a GPU that is no program, 'webnn'. CPython:
                                                                       none, there a GPU is used by who names it
    async machine() -> Machine                                         (from edgeflow.host.machine) what there is, in detail

WebGPU (from edgeflow.host.gpu)
    async open_gpu(wanted: list[str], on_lost: Callable[[str], None]) -> GpuDevice | None      the best adapter's device with those of the
                                                                       wanted features that it offers and its largest limits; None:
                                                                       there is none. on_lost: hears why, once, when it is lost
    shader_source(name: str) -> str                                    the text of wgsl/`name`.wgsl, its includes filled in
    narrowed(dtype: str, data: Bytes) -> Bytes | None                  elements as 32-bit words, as they lie on the GPU; None: an
                                                                       int64 does not fit. Types of 32 bits: `data` itself
    widened(dtype: str, data: Bytes) -> Bytes                          the other way round

Workers
    default_workers() -> int                                            how many workers suit this platform: the cores in a page
                                                                        that has workers; 0 in workers, Node and CPython
    spawn_worker(address: str | None) -> WorkerHandle                   a worker that runs the script at `address`, None: this
                                                                        library's own file. EdgeflowError 'platform' if none can be had
    part_addresses() -> object                                          where the parts of edgeflow lie, for a worker, which is told by
                                                                        use_part_addresses(found); CPython: imports know
    find_parts_in(wasm_folder: Callable[[], str | None]) -> None        what names a folder of parts, where this library's file lies nowhere
    worker_port() -> WorkerPort | None                                  in a worker that spawn_worker made: the way to its page
    new_channel() -> list[object]                                      two ends of a channel, which post() can move to other threads
    open_port(end: object) -> MessagePort                               an end, in the thread that it has come to
    reuse_memory_of(data: Bytes)                                       take() may give this memory again; nobody else refers to it
    forget_spare_memory()                                              what nobody has taken again goes
    own_bytes(data: Bytes, give: bool, more: int) -> Bytes                         bytes that may be moved to another thread: `data` itself if
                                                                        it is given up and has its memory for itself, else a copy
    bytes_memory(data: Bytes) -> object                                 the memory of own_bytes(), for the transfer lists of post()

Memory scopes and garbage collection
    current_scope() -> object | None                     the scope entered last by the synchronous code that runs now
    enter_scope(scope, on_await) ; leave_scope(scope)    leaving what is not entered is no error. CPython: each thread and task has
                                                         its own. JS has no such context, so there a scope is left by itself, and
                                                         on_await called, at the latest when the synchronous code has ended
    on_using(scope, enter, leave)                        JS: `using x = scope` calls enter(), and leave() in the end
    when_done(value, after) -> Awaitable | None          None if `value` cannot be awaited; else what gives the same, after `after()`
    watch_collection(callback) -> CollectionWatch        callback(held) when a watched object was collected as garbage
    weak_reference(target) -> WeakReference              refers to an object without keeping it alive
    call_stack() -> str                                  where the program is, one call a line
    call_later(ms, callback) -> Callable[[], None]       returns "forget it"; a pending one keeps no process alive.
                                                         CPython: on the running event loop; never called if there is none

Options
    check_calls(function, check) -> function            see options.public; JS gives the function back (the transpiler checks)
    call_with(action, options) -> object                 calls a function that has only options, with those of a plain JS object / a dict

Text libraries (from edgeflow.host.text)
    async render_template(template: str, variables: dict) -> str        a Jinja chat template, with what transformers gives them: tojson,
                                                         raise_exception, strftime_now, loop controls, blocks trimmed. EdgeflowError
                                                         'invalid-tokenizer' (no Jinja), 'invalid-argument' (what it raises)
    joins(before: str, after: str) -> bool               whether `after` (not empty) goes on with the last character of `before`: a mark, a
                                                         joiner or what follows it, a skin tone, the other half of a flag
    may_be_joined(text: str) -> bool                     whether what follows could do so: it ends in a letter, number, symbol, mark
    load_tokenizer(tokenizer_json: Bytes, tokenizer_config: Bytes | None) -> TokenizerLibrary
                                                         EdgeflowError 'invalid-tokenizer'; see text/tokenizer.py
    parse_ahead(tokenizer_json: Bytes)                   does the first half of load_tokenizer() for the same bytes, so that a page
                                                         has two short tasks in place of a long one; CPython: nothing
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Bytes(Protocol):
    """A view of bytes: memoryview in CPython, Uint8Array in JS. Slices are views, indexing gives ints 0..255."""


class NumericArray(Protocol):
    """A flat array of numbers of one dtype: numpy.ndarray (1-D) in CPython, a typed array in JS."""


@dataclass(frozen=True)
class WasmFeatures:
    """What the platform's WebAssembly can do."""

    simd: bool
    relaxed_simd: bool


@dataclass(frozen=True)
class Machine:
    """What this platform can compute with.

    gpu: the name of WebGPU's adapter, '' without one. software: whether it is a program on the CPU. features, limits: the adapter's.
    webnn: the device types that WebNN makes contexts for. cores: how many threads. platform: the browser or interpreter, with its version.
    """

    gpu: str
    software: bool
    features: list[str]
    limits: dict[str, int]
    webnn: list[str]
    cores: int
    platform: str


class Response(Protocol):
    """An HTTP answer. Bodies are read once: by body(), or by take() and store()."""

    status: int
    url: str

    def header(self, name: str) -> str | None:
        """The value of a header, its name in any case; None if absent or hidden by CORS."""

    async def take(self, size: int, on_bytes: Callable[[int], None]) -> Bytes:
        """The next `size` bytes of the decoded body in memory of their own, fewer where it ends. on_bytes hears how many each part had."""

    async def store(self, size: int, on_bytes: Callable[[int], None], give: bool, more: int) -> Draft | None:
        """As take(), but into the store that fetched this; None for an answer that none did. give: the bytes are wanted here, too.

        more: how many of the same size are likely to follow. Fewer than `size` bytes are not stored.
        """

    async def body(self) -> Bytes:
        """The whole decoded body."""

    async def cancel(self) -> None:
        """Stop the transfer and free the connection."""


class Draft(Protocol):
    """A value of `size` bytes that lies in a store, under no key yet.

    place: where, for open_place(); None: the store had no room for it. data: its bytes, if they were asked for or place is None.
    """

    size: int
    place: object | None
    data: Bytes | None

    async def keep(self, key: str) -> None:
        """Put it under a key. 'quota-exceeded', 'platform'."""

    async def read(self) -> Bytes:
        """Its bytes. 'platform'."""

    async def drop(self) -> None:
        """It will have no key."""

    async def hash(self, sha: Sha256) -> None:
        """sha.update() with its bytes. 'http' if the thread that fetched them is lost."""


class StoredPiece(Protocol):
    """A stored value, opened. Until it is closed it stays."""

    def read(self, memory: Bytes) -> int:
        """Fill `memory` with its bytes, now: how many they were. The platform's errors."""

    def close(self) -> None: ...


class Sha256(Protocol):
    """The digest of FIPS 180-4, part by part."""

    def update(self, data: Bytes) -> None: ...

    def hex(self) -> str:
        """The digest of all parts so far; ends the computation."""


class KeyValueStore(Protocol):
    """Byte strings by name, kept between visits. No room: EdgeflowError 'quota-exceeded'."""

    async def get(self, key: str) -> Bytes | None: ...

    async def place(self, key: str) -> object | None:
        """Where a value is, for open_place() in any thread; None if it is nowhere or cannot be read so."""

    async def put(self, key: str, value: Bytes) -> None:
        """All of the value or nothing. It is read before put() first waits, so its memory may be moved as soon as put() was called."""

    async def fetch(self, url: str, headers: dict[str, str], signal: AbortSignal | None, cache: str) -> Response | None:
        """As the platform's, by a thread of the store's own, whose answers can store(); None where there is none."""

    async def delete(self, key: str) -> None: ...

    async def delete_all(self, prefix: str) -> None:
        """Delete every key that starts with `prefix`."""

    async def keys(self, prefix: str) -> list[str]: ...

    async def close(self) -> None: ...


class WasmInstance(Protocol):
    """A WebAssembly instance whose memory is exported as `memory`."""

    def call(self, name: str, arguments: list[int]) -> int:
        """Call an export with i32 arguments; a trap raises EdgeflowError 'run-failed'."""

    def global_value(self, name: str) -> int:
        """The value of an exported i32 global, such as `__heap_base`."""

    def set_global(self, name: str, value: int) -> None:
        """Set an exported i32 global that can be set, such as `__stack_pointer`."""

    def shared_memory(self) -> object | None:
        """The memory, to be posted to other threads for start_wasm(); None: it belongs to this instance alone."""

    async def add(self, module: WasmModule) -> None:
        """Start another binary in this memory, and put its functions k_NAME into the table here, as `add_kernels` hears."""

    def added(self) -> list[str]:
        """The names of these functions, without k_, in the order of the table."""

    def memory_size(self) -> int:
        """Bytes of memory at this moment."""

    def grow(self, size: int) -> None:
        """Make the memory at least `size` bytes; EdgeflowError 'out-of-memory' if refused."""

    def view(self, address: int, size: int) -> Bytes:
        """The memory itself, not a copy; valid until the next grow()."""


class AbortSignal(Protocol):
    """Tells work that its caller no longer wants it: the browser's AbortSignal, or our own in CPython."""

    aborted: bool


class AbortController(Protocol):
    """Hands out `signal`; abort() cancels what listens to it."""

    @property
    def signal(self) -> AbortSignal: ...

    def abort(self) -> None: ...


class CollectionWatch(Protocol):
    """Tells which of the watched objects were collected as garbage, some time after it happened."""

    def watch(self, target: object, held: object) -> None:
        """Hear of `target`; `held` is what the callback gets, and must not refer to it."""

    def forget(self, target: object) -> None: ...


class WeakReference(Protocol):
    """Refers to an object without keeping it alive."""

    def deref(self) -> object | None: ...


class WasmModule(Protocol):
    """Compiled WebAssembly code, without memory."""


class Deferred(Protocol):
    """A result that comes later. The first resolve() or reject() counts; a rejection that nobody waits for is no error."""

    def resolve(self, value: object) -> None: ...

    def reject(self, error: Exception) -> None: ...

    async def result(self) -> Any:
        """What it was resolved with; raises what it was rejected with. May be awaited more than once."""


class WorkerHandle(Protocol):
    """A thread with its own module instance, seen from the thread that started it; messages are structured clones."""

    def post(self, message: object, transfer: list[object]) -> None: ...

    def on_message(self, callback: Callable[[object], None]) -> None: ...

    def on_error(self, callback: Callable[[str], None]) -> None:
        """Hears why the worker is lost: it could not be loaded, threw an error that nobody caught, or ended by itself."""

    def hold(self, busy: bool) -> None:
        """Whether the process (Node's) has to stay alive for this worker; browsers do not ask."""

    def terminate(self) -> None: ...


class WorkerPort(Protocol):
    """The other end, in the worker."""

    def post(self, message: object, transfer: list[object]) -> None: ...

    def on_message(self, callback: Callable[[object], None]) -> None: ...

    async def settle(self) -> None:
        """Prepare for the end: once the page has a message {'kind': 'settled'}, to be posted then, it notices when this worker ends."""


class MessagePort(Protocol):
    """One end of a channel between two threads."""

    def post(self, message: object, transfer: list[object]) -> None: ...

    def on_message(self, callback: Callable[[object], None]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Picture:
    """pixels: four bytes each (red, green, blue, alpha), row after row."""

    width: int
    height: int
    pixels: Bytes


@dataclass(frozen=True)
class TokenizedText:
    """The tokens of one text, without special tokens.

    offsets: (start, end) in the text, counted as its platform counts strings (code points; JS: UTF-16 units). words: which word
    of the pre-tokenizer each is of. Both None unless asked for.
    """

    ids: list[int]
    offsets: list[tuple[int, int]] | None = None
    words: list[int] | None = None


class TokenizerLibrary(Protocol):
    """What text/tokenizer.py needs of a platform's tokenizer."""

    def settings(self) -> dict[str, object]:
        """The tokenizer.json, as json_parse gives it, without the vocabulary and the merges of its model."""

    def encode_text(self, text: str, with_offsets: bool) -> TokenizedText:
        """Split one text, whole, without special tokens."""

    def decode_ids(self, ids: list[int], skip_special_tokens: bool) -> str:
        """Join tokens as the tokenizer's decoder does; unknown ids are left out."""

    def join_tokens(self, tokens: list[str]) -> str:
        """As decode_ids(), for tokens as texts, which need not be in the vocabulary."""

    def token_id(self, token: str) -> int | None: ...

    def token(self, token_id: int) -> str | None: ...


class GpuBuffer(Protocol):
    """GPU memory."""


@dataclass(frozen=True)
class GpuPiece:
    """`size` bytes of a buffer from `offset` on."""

    buffer: GpuBuffer
    offset: int
    size: int


@dataclass
class GpuCommand:
    """A dispatch, or where `pipeline` is None a copy from `source` to `target`."""

    pipeline: object | None
    group: object | None
    groups: list[int]
    source: GpuPiece | None = None
    target: GpuPiece | None = None


class GpuDevice(Protocol):
    """A device and its queue.

    features: those wanted that it has, by WebGPU's names. name: for people. software: whether the adapter is a program on the CPU.
    subgroup_size: the smallest size of a subgroup, 0 where it is not told. matrix: rows, columns and depth of the float16 matrices that subgroups of 32
    multiply into float32; empty: none. Whatever is done on a lost device raises EdgeflowError 'device-lost'.
    """

    name: str
    features: list[str]
    software: bool
    subgroup_size: int
    matrix: list[int]
    lost: bool

    def limit(self, name: str) -> int:
        """A limit by WebGPU's name."""

    def buffer(self, size: int, uniform: bool = False) -> GpuBuffer:
        """A storage buffer that can be copied to and from, or a uniform one."""

    def free(self, buffer: GpuBuffer) -> None: ...

    def write(self, buffer: GpuBuffer, offset: int, data: Bytes, again: bool = False) -> None:
        """Copy bytes into a buffer before what is submitted next; their number is rounded up to a multiple of 4. again: as many will be written again."""

    async def pipeline(self, label: str, code: str, constants: dict[str, int], forms: str) -> object:
        """Compile a kernel with entry `main`. forms: one letter a binding: u uniform, r storage that is read, w storage that is written."""

    def group(self, forms: str, pieces: list[GpuPiece]) -> object:
        """What a dispatch binds."""

    def watch(self) -> None:
        """Look for errors in what is made until settled(), which raises them: 'out-of-memory', 'device-lost', 'internal'."""

    async def settled(self) -> None: ...

    def submit(self, commands: list[GpuCommand]) -> None:
        """Submit the commands, in order."""

    def run(self, commands: list[GpuCommand], reads: list[GpuPiece]) -> Awaitable[list[Bytes]]:
        """Submit the commands at once, in order; what is awaited is what `reads` then hold."""

    def destroy(self) -> None:
        """Give it up; on_lost hears of it."""


class NnOperand(Protocol):
    """A value of a WebNN graph while it is built. data_type: as WebNN names it."""

    data_type: str


class NnTensor(Protocol):
    """Memory that WebNN works on: an MLTensor that can be written and read."""


class NnGraph(Protocol):
    """A compiled graph."""

    def destroy(self) -> None: ...


class NnBuilder(Protocol):
    """Builds one graph. Whatever is done when the context is lost raises EdgeflowError 'device-lost'."""

    def declare(self, name: str, dtype: str, shape: list[int]) -> NnOperand:
        """An input of the graph."""

    def embed(self, dtype: str, shape: list[int], data: Bytes) -> NnOperand:
        """A constant. The bytes are copied."""

    def call(self, op: str, given: list[object], options: dict[str, object]) -> list[NnOperand]:
        """Call the method `op` of MLGraphBuilder: what it gives, always as a list. 'unsupported-op' with its words if it refuses the types, ranks or shapes."""

    def dims(self, operand: NnOperand) -> list[int]:
        """Its shape."""

    async def build(self, outputs: dict[str, NnOperand]) -> NnGraph:
        """Compile. 'internal' if that fails."""


class NnContext(Protocol):
    """An MLContext. What is written, dispatched and read happens in the order of the calls."""

    lost: bool

    def sketch(self) -> NnBuilder: ...

    async def buffer(self, dtype: str, shape: list[int]) -> NnTensor:
        """'out-of-memory' if there is no room."""

    def free(self, tensor: NnTensor) -> None: ...

    def write(self, tensor: NnTensor, data: Bytes) -> None:
        """Copy bytes into all of a tensor."""

    def submit(self, graph: NnGraph, inputs: dict[str, NnTensor], outputs: dict[str, NnTensor]) -> None:
        """Run a graph after all that came before."""

    async def read(self, tensors: list[NnTensor]) -> list[Bytes]:
        """What they hold after all that was dispatched."""

    def destroy(self) -> None:
        """Give it up; on_lost hears of it."""
