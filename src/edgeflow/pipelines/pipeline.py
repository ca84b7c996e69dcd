"""pipeline(): from a task and a model's name to something that can be called with texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from edgeflow.backends.choose import Device, choose_device
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather, make_callable, new_abort_controller, on_abort, pause, signal_aborted, sleep
from edgeflow.host.port import AbortSignal, Bytes
from edgeflow.options import public
from edgeflow.pipelines.base import Pipeline
from edgeflow.pipelines.tasks import TASKS, Builder, Task, default_model, task_name
from edgeflow.runtime.batching import Batching
from edgeflow.runtime.model import Model, open_model
from edgeflow.runtime.proxy import Place
from edgeflow.store.files import Wanted, find_file, load_files
from edgeflow.store.hub import Repository, check_dtype, find_repository
from edgeflow.store.model_files import load_config, load_onnx, parse_config
from edgeflow.store.progress import Progress, ProgressEvent
from edgeflow.text.tokenizer import Tokenizer

REHEARSED = 'A text.'


@dataclass
class Parts:
    """What was loaded of a repository."""

    config: dict[str, object]
    model: Model | None = None
    tokenizer: Tokenizer | None = None
    build: Builder | None = None


@public
async def pipeline(
    task: str,
    model: str | None = None,
    *,
    device: Device | list[Device] = 'auto',
    dtype: Literal['auto', 'fp32', 'fp16', 'q8', 'int8', 'uint8', 'q4', 'q4f16', 'bnb4'] = 'auto',
    revision: str = 'main',
    subfolder: str = 'onnx',
    file: str = 'model',
    batching: Batching | None = None,
    self_check: bool = False,
    on_progress: Callable[[ProgressEvent], None] | None = None,
    signal: AbortSignal | None = None,
) -> Pipeline:
    """Load a model with its tokenizer for a task, such as 'feature-extraction' or 'text-classification'.

    model: an id of the hub ('org/name'), the address of a folder laid out like a repository of the hub, or a path; without
    it the task's default (of env.default_models, else the built-in one).
    device: where to run. 'auto' takes what is likely to be the fastest, 'fastest' tries out what there is on the first inputs and remembers it;
    both go on on the next one if a device fails, and so does a list of devices, in its order. A single device that fails is an error.
    self_check: compare the results of the first run with those of WASM, as for load_model().
    dtype: which of the repository's files to load; 'auto' takes the one that its config.json recommends, else fp32.
    revision: branch, tag or commit of a repository on the hub. subfolder: where in a repository the .onnx files are.
    file: the name of the .onnx file, without the suffix of its data type.
    batching: merge runs that wait for the same model and are of one shape, as for load_model().
    on_progress: hears of every step of loading. signal: an AbortSignal that cancels loading.
    EdgeflowError: 'unsupported-task', 'unknown-option', 'invalid-argument', 'file-missing', 'http', 'aborted',
    'invalid-tokenizer', 'invalid-model', 'invalid-graph', 'unsupported-op', 'out-of-memory'.
    """
    name = task_name(task)
    kind = TASKS[name]
    chosen = choose_device(device)
    check_dtype(dtype)
    merging: Batching | None = None
    if batching is not None:
        from edgeflow.runtime.batching import read_batching
        merging = read_batching(batching)
    source = model if model is not None else default_model(name)
    if not isinstance(source, str):
        raise EdgeflowError('invalid-argument', 'model: expected the id, address or path of a model', {})
    progress = Progress(on_progress)
    place = Place(chosen, not kind.generates or kind.decoder != '', self_check)
    try:
        repository = await find_repository(source, revision, progress, signal)
        first = 'encoder_model' if kind.decoder != '' and file == 'model' else file
        parts = await load_parts(repository, dtype, chosen, place, subfolder, first, progress, signal, merging, kind)
    finally:
        place.leave()
    tokenizer = cast(Tokenizer, parts.tokenizer)
    tokenizer.limit_to_model(parts.config)
    made: Pipeline = cast(Builder, parts.build)(name, cast(Model, parts.model), tokenizer, parts.config)
    if kind.decoder != '':
        try:
            made.take_second(await load_second(repository, parts.config, dtype, place, subfolder, kind.decoder, progress, signal))
        except Exception:
            made.dispose()
            raise
    progress.ready()
    return make_callable(made)


async def load_second(
    repository: Repository, config: dict[str, object], dtype: str, first: Place, subfolder: str, file: str, progress: Progress,
    signal: AbortSignal | None,
) -> Model:
    """A further model of a repository, on the devices of the first one."""
    device = first.device

    async def fetch_again(other: Place) -> None:
        await load_onnx(repository, config, file, dtype, device, subfolder, other, Progress(None), None)

    place = Place(device, first.divisible, first.self_check)
    try:
        await gather([load_onnx(repository, config, file, dtype, device, subfolder, place, progress, signal), place.prepare(repository.address(''))])
        return await open_model(place, repository.address(''), fetch_again, True, None, signal)
    finally:
        place.leave()


async def load_parts(
    repository: Repository, dtype: str, device: str, place: Place, subfolder: str, file: str, progress: Progress,
    signal: AbortSignal | None, batching: Batching | None, kind: Task,
) -> Parts:
    """Everything of a repository at once. If one file fails, the others are cancelled and its error is raised.

    place: where the model will live. kind: what it is for, which may need a part of edgeflow, too.
    """
    controller = new_abort_controller()
    stop_listening = on_abort(signal, lambda: controller.abort())
    failures: list[Exception] = []
    parts = Parts({})
    generation: list[dict[str, object]] = []

    async def load_network_files() -> None:
        """config.json and the ONNX files; beside each other if the file's name does not depend on config.json."""
        if dtype == 'auto':
            parts.config = await load_config(repository, progress, controller.signal)
            await load_onnx(repository, parts.config, file, dtype, device, subfolder, place, progress, controller.signal)
            return
        loaded = await gather([
            load_onnx(repository, {}, file, dtype, device, subfolder, place, progress, controller.signal),
            load_config(repository, progress, controller.signal),
        ])
        parts.config = loaded[1]

    async def fetch_again(other: Place) -> None:
        await load_onnx(repository, parts.config, file, dtype, device, subfolder, other, Progress(None), None)

    async def load_text_files() -> list[Bytes | None]:
        files = await load_files(
            [Wanted(repository.address('tokenizer.json'), 'tokenizer.json'),
             Wanted(repository.address('tokenizer_config.json'), 'tokenizer_config.json', True)],
            progress, controller.signal)
        if kind.generates:
            address = repository.address('generation_config.json')
            data = await find_file(address, 'generation_config.json', progress, controller.signal)
            generation.append({} if data is None else parse_config(data, address))
        if not place.elsewhere():
            await read_text(files)
        return files

    async def fetch_tokenizers() -> None:
        """The part that makes them, beside the files."""
        from edgeflow.host.text import parse_ahead  # noqa: F401

    async def read_text(files: list[Bytes | None]) -> None:
        """Make the tokenizer, in two tasks: thousands of words take their time."""
        from edgeflow.host.text import parse_ahead
        from edgeflow.text.tokenizer import read_tokenizer

        found = cast(Bytes, files[0])
        parse_ahead(found)
        await pause()
        parts.tokenizer = read_tokenizer(found, files[1])

    async def finish_text(files: list[Bytes | None]) -> None:
        """Where a worker reads the model, make the tokenizer meanwhile, not while this thread receives the model."""
        try:
            if parts.tokenizer is None:
                await sleep(0)
                await read_text(files)
                # What a first text has compiled is compiled now, as this thread waits for the worker, which then waits for the text.
                cast(Tokenizer, parts.tokenizer).encode([REHEARSED], padding=True, truncation=True)
        except Exception as error:
            failures.append(error)

    async def load_all() -> None:
        try:
            loaded = await gather([load_network_files(), load_text_files(), kind.builder(), fetch_tokenizers()])
            parts.build = loaded[2]
            opening = open_model(place, repository.address(''), fetch_again, True, batching, controller.signal)
            opened = await gather([opening, finish_text(loaded[1])])
            parts.model = opened[0]
            if kind.generates:
                parts.config['generation_config'] = generation[0]
        except Exception as error:
            failures.append(error)
            controller.abort()

    try:
        # What takes longest is asked for first.
        await gather([load_all(), place.prepare(repository.address(''))])
    finally:
        stop_listening()
    if len(failures) == 0 and signal_aborted(signal):
        failures.append(EdgeflowError('aborted', 'loading the pipeline was cancelled through its signal', {}))
    if len(failures) > 0:
        if parts.model is not None:
            parts.model.dispose()
        raise failures[0]
    return parts
