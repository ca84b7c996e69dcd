"""Settings of the whole page or process. Set them before the first pipeline or model is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from edgeflow.host.platform import find_parts_in, native_mapping


@dataclass(frozen=True)
class Fallback:
    """A device has failed a model, which goes on on another: see env.on_fallback.

    model: its address, or 'bytes'. device: what failed. next: where it goes on. error: why.
    """

    model: str
    device: str
    next: str
    error: Exception


@dataclass
class Env:
    """Where files come from.

    remote_host: address of the hub, ending in '/'.
    remote_path_template: folder of a model on that host; {model} and {revision} are filled in.
    local_model_path: folder (in browsers a relative or absolute address) that models may lie in, ending in '/', or None.
    allow_remote_models, allow_local_models: which of the two may be asked; local goes first.
    wasm_location: folder or address, ending in '/', that holds edgeflow-simd.wasm and edgeflow-relaxed.wasm, and the parts of
        edgeflow if its own file lies nowhere (a blob); None: next to this library's own file.
    http_cache: how the browser's HTTP cache takes part in loading models: 'default' (as the server's headers say; not for parts of files), 'no-store'
        (never), 'no-cache' (only what the server confirms), 'reload' (fetch anew, then keep), 'force-cache' (even what is stale);
        Node and CPython keep no such cache.
    cache: whether files of models are kept between visits (IndexedDB; in Node and CPython a folder, see EDGEFLOW_CACHE). What is kept is
        used without asking the server, unless http_cache is 'no-store', 'reload' (fetch anew) or 'no-cache' (ask whether it changed).
    cache_budget: bytes that they may take together, or None. Those that were not used for longest go first.
    access_token: what the hub knows you by, for private and gated models; sent to remote_host alone, or None.
    workers: how many workers models are spread over at most; 0: models run in the page itself. None: as many as the machine
        has cores, and 0 in Node and within workers of your own.
    worker_url: a script on the page's own origin for the workers to run, where a policy (CSP) forbids those that edgeflow
        starts itself: a copy of the file that the page uses, or a file that imports it. None: that file itself.
    spare_cores: whether workers that have nothing to do take shares of the runs of others: a model alone runs faster, and its
        helpers hold copies of their shares of its weights. A memory_budget switches it off.
    memory_budget: bytes that models may hold together, or None. Models that were not used for longest give up their memory
        before it is passed, and load again when they are used; what does not fit even then is 'out-of-memory'.
    devices: which devices 'auto' and 'fastest' may choose, such as ['webgpu', 'wasm']; None: all.
    on_fallback: hears when a model goes on, on another device, after one has failed; None: the console says so.
    default_models: task -> model id, for pipelines without a model; goes before the built-in table.
    """

    remote_host: str = 'https://huggingface.co/'
    remote_path_template: str = '{model}/resolve/{revision}/'
    local_model_path: str | None = None
    allow_remote_models: bool = True
    allow_local_models: bool = True
    wasm_location: str | None = None
    http_cache: Literal['default', 'no-store', 'no-cache', 'reload', 'force-cache'] = 'default'
    cache: bool = True
    cache_budget: int | None = None
    access_token: str | None = None
    workers: int | None = None
    worker_url: str | None = None
    spare_cores: bool = True
    memory_budget: int | None = None
    devices: list[str] | None = None
    on_fallback: Callable[[Fallback], None] | None = None
    # A plain object in JS, as users write it; read it through host.to_dict.
    default_models: dict[str, str] = field(default_factory=lambda: native_mapping({}))


HTTP_CACHE_MODES = ['default', 'no-store', 'no-cache', 'reload', 'force-cache']

env = Env()
find_parts_in(lambda: env.wasm_location)
