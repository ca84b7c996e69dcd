"""The functions of edgeflow that load a bare model; pipelines are in edgeflow.pipelines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from edgeflow.backends.choose import Device, choose_device
from edgeflow.backends.rests import Rests
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import as_bytes, gather, is_url, signal_aborted, to_dict, weak_reference
from edgeflow.host.port import AbortSignal, Bytes, WeakReference
from edgeflow.options import public
from edgeflow.runtime.batching import Batching
from edgeflow.runtime.model import Model, open_model
from edgeflow.runtime.opening import MODEL
from edgeflow.runtime.proxy import Place
from edgeflow.store.hub import check_dtype, find_repository
from edgeflow.store.model_files import load_config, load_model_files, load_onnx
from edgeflow.store.progress import Progress, ProgressEvent


PART_BYTES = 4194304


@public
async def load_model(
    source: str | Bytes,
    *,
    device: Device | list[Device] = 'auto',
    dtype: Literal['auto', 'fp32', 'fp16', 'q8', 'int8', 'uint8', 'q4', 'q4f16', 'bnb4'] = 'auto',
    revision: str = 'main',
    subfolder: str = 'onnx',
    file: str = 'model',
    external_data: dict[str, Bytes] | None = None,
    batching: Batching | None = None,
    self_check: bool = False,
    on_progress: Callable[[ProgressEvent], None] | None = None,
    signal: AbortSignal | None = None,
) -> Model:
    """Load an ONNX model and make it ready to run.

    source: the bytes of an .onnx file; the address or path of one (it ends in '.onnx'), whose external data files lie beside
    it; or a repository in Hugging Face's layout: a model id, an address or a path.
    device: where to run. 'auto' takes what is likely to be the fastest, 'fastest' tries out what there is on the first inputs and remembers it;
    both go on on the next one if a device fails, and so does a list of devices, in its order. A single device that fails is an error.
    self_check: compare the results of the first run with those of WASM: a device that computes other numbers has failed, with 'wrong-results'.
    dtype: which of a repository's files to load; 'auto' takes the one that its config.json recommends, else fp32.
    revision: branch, tag or commit of a repository on the hub. subfolder: where in a repository the .onnx files are.
    file: the name of the .onnx file, without the suffix of its data type.
    external_data: with bytes, the external data files by the names that the model gives them.
    batching: merge runs that wait for the same model, such as {max_size: 8, max_wait: 2}; off if left out. Only for models whose
    inputs and outputs all begin with one symbolic dim (else 'invalid-argument').
    on_progress: hears of every step of loading. signal: an AbortSignal that cancels loading.
    EdgeflowError: 'file-missing', 'http', 'invalid-model', 'invalid-graph', 'unsupported-op', 'invalid-argument',
    'unknown-option', 'aborted'.
    """
    chosen = choose_device(device)
    check_dtype(dtype)
    merging: Batching | None = None
    if batching is not None:
        from edgeflow.runtime.batching import read_batching
        merging = read_batching(batching)
    progress = Progress(on_progress)
    place = Place(chosen, True, self_check)
    name = source if isinstance(source, str) else 'bytes'
    try:
        await gather([
            _bring(source, chosen, dtype, revision, subfolder, file, external_data, place, progress, signal), place.prepare(name),
        ])
        if signal_aborted(signal):
            raise EdgeflowError('aborted', 'loading the model was cancelled through its signal', {})
        bring: Callable[[Place], Awaitable[None]]
        if isinstance(source, str):

            async def fetch_again(other: Place) -> None:
                await _bring(source, chosen, dtype, revision, subfolder, file, None, other, Progress(None), None)

            bring = fetch_again
        else:
            bring = _still_held(source, external_data)
        model = await open_model(place, name, bring, isinstance(source, str), merging, signal)
    finally:
        place.leave()
    progress.ready()
    return model


def _still_held(source: object, external_data: object) -> Callable[[Place], Awaitable[None]]:
    """Bytes that the caller gave, as long as the caller keeps them: we do not, a model would take its memory twice."""
    given = to_dict(external_data) if external_data is not None else {}
    model = weak_reference(source)
    external: dict[str, WeakReference] = {}
    for name in given:
        external[name] = weak_reference(given[name])

    async def look(other: Place) -> None:
        await _lend(other, MODEL, _held(model), None)
        for name in external:
            await _lend(other, name, _held(external[name]), None)

    return look


async def _lend(place: Place, location: str, data: Bytes, signal: AbortSignal | None) -> None:
    """A file that the caller keeps, so that it is copied to a worker: in parts, because a page may not stand still for so long."""
    if not place.elsewhere():
        place.add(location, 0, data, False)
        return
    rests = Rests(lambda: signal_aborted(signal), 'loading the model')
    for start in range(0, max(1, len(data)), PART_BYTES):
        place.add(location, start, data[start:start + PART_BYTES], False)
        await rests.rest()


def _held(reference: WeakReference) -> Bytes:
    data = reference.deref()
    found = as_bytes(data) if data is not None else None
    if found is None or len(found) == 0:
        raise EdgeflowError(
            'worker-lost', 'the worker that held the model was lost, and with it the model: its bytes, which edgeflow does not keep, are gone', {})
    return found


async def _bring(
    source: object, device: str, dtype: str, revision: str, subfolder: str, file: str, external_data: object,
    place: Place, progress: Progress, signal: AbortSignal | None,
) -> None:
    """The model's files, to where it will live."""
    data = as_bytes(source)
    if data is not None:
        external = await _given_external(data, external_data)
        await _lend(place, MODEL, data, signal)
        for name in external:
            await _lend(place, name, external[name], signal)
        return
    if not isinstance(source, str) or source == '':
        raise EdgeflowError('invalid-argument', 'source: expected the bytes, address, path or id of a model', {})
    if external_data is not None:
        raise EdgeflowError(
            'invalid-argument', f"external_data goes with a model given as bytes; got '{source}', whose files are found beside it",
            {'source': source},
        )
    path: str = source.split('#')[0].split('?')[0] if is_url(source) else source
    if path.endswith('.onnx'):
        if dtype != 'auto':
            raise EdgeflowError(
                'invalid-argument', f"dtype chooses among the files of a repository; got dtype '{dtype}' and the file '{source}'",
                {'source': source, 'dtype': dtype},
            )
        await load_model_files(source, path.replace('\\', '/').split('/')[-1], [], place, progress, signal)
        return
    repository = await find_repository(source, revision, progress, signal)
    config = await load_config(repository, progress, signal)
    await load_onnx(repository, config, file, dtype, device, subfolder, place, progress, signal)


async def _given_external(model: Bytes, given: object) -> dict[str, Bytes]:
    """The external data that the caller gave with the bytes of a model: all that the model names, and in bytes."""
    from edgeflow.onnx.reader import external_files

    named = to_dict(given) if given is not None else {}
    external: dict[str, Bytes] = {}
    for name in external_files(model):
        data = as_bytes(named.get(name))
        if data is None:
            raise EdgeflowError(
                'file-missing', f"expected the bytes of '{name}' in external_data, which the model refers to",
                {'file': name, 'given': list(named.keys())},
            )
        external[name] = data
    return external
