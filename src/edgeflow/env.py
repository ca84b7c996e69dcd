"""Settings of the whole page or process. Set them before the first pipeline or model is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgeflow.host.platform import native_mapping


@dataclass
class Env:
    """Where files come from.

    remote_host: address of the hub, ending in '/'.
    remote_path_template: folder of a model on that host; {model} and {revision} are filled in.
    local_model_path: folder (in browsers a relative or absolute address) that models may lie in, ending in '/', or None.
    allow_remote_models, allow_local_models: which of the two may be asked; local goes first.
    wasm_location: folder or address, ending in '/', that holds edgeflow-simd.wasm and edgeflow-relaxed.wasm;
        None: next to this library's own file.
    http_cache: how the browser's HTTP cache takes part in loading models: 'default' (as the server's headers say), 'no-store'
        (never), 'no-cache' (only what the server confirms), 'reload' (fetch anew, then keep), 'force-cache' (even what is stale);
        Node and CPython keep no such cache.
    default_models: task -> model id, for pipelines without a model; goes before the built-in table.
    """

    remote_host: str = 'https://huggingface.co/'
    remote_path_template: str = '{model}/resolve/{revision}/'
    local_model_path: str | None = None
    allow_remote_models: bool = True
    allow_local_models: bool = True
    wasm_location: str | None = None
    http_cache: Literal['default', 'no-store', 'no-cache', 'reload', 'force-cache'] = 'default'
    # A plain object in JS, as users write it; read it through host.to_dict.
    default_models: dict[str, str] = field(default_factory=lambda: native_mapping({}))


HTTP_CACHE_MODES = ['default', 'no-store', 'no-cache', 'reload', 'force-cache']

env = Env()
