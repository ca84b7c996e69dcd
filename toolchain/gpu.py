"""The software GPU for tests in CPython: the SwiftShader of the browser that toolchain/browser.py finds."""

from __future__ import annotations

import ctypes
import os

from toolchain.browser import find_browser

LOADER = 'libvulkan.so.1'
DRIVER = 'vk_swiftshader_icd.json'


def use_software_gpu() -> bool:
    """Let wgpu-py find SwiftShader, and nothing else; to be called before wgpu is imported. False: this browser brings none.

    EDGEFLOW_GPU=hardware leaves things as they are, for `make gpu-test`.
    """
    if os.environ.get('EDGEFLOW_GPU') == 'hardware':
        return True
    for folder in find_browser().libraries:
        if (folder / LOADER).is_file() and (folder / DRIVER).is_file():
            os.environ['VK_DRIVER_FILES'] = str(folder / DRIVER)
            # A bare machine has no Vulkan loader: what is loaded already is found by its name.
            ctypes.CDLL(str(folder / LOADER), mode=ctypes.RTLD_GLOBAL)
            # Another adapter must not be taken for it.
            os.environ['WGPUPY_WGPU_ADAPTER_NAME'] = 'SwiftShader'
            return True
    return False
