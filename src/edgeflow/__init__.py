"""edgeflow: ONNX models in the browser, several at once. This module is the public API, in Python and, transpiled, in JS."""

from __future__ import annotations

from edgeflow.api import load_model
from edgeflow.backends.generation import NextToken
from edgeflow.env import Env, env
from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import ValueInfo
from edgeflow.pipelines.feature_extraction import FeatureExtractionPipeline
from edgeflow.pipelines.pipeline import pipeline
from edgeflow.pipelines.text_classification import TextClassificationPipeline
from edgeflow.pipelines.text_generation import GeneratedText, TextGenerationPipeline
from edgeflow.runtime.creation import arange, eye, full, linspace, ones, randn, random, zeros
from edgeflow.runtime.generation import GenerationSession
from edgeflow.runtime.leaks import Leak, LeakDetection, detect_leaks
from edgeflow.runtime.memory import MemoryArea, MemoryStats, ModelMemory, Resource, memory_stats
from edgeflow.runtime.model import Model
from edgeflow.runtime.operations import (
    add, argmax, concat, div, load_operations, matmul, mean, mul, relu, reshape, sigmoid, slice, softmax, sub, sum, tanh, transpose,
)
from edgeflow.runtime.page import on_task, scheduler_statistics
from edgeflow.runtime.scope import MemoryScope, memory_scope, with_memory_scope
from edgeflow.runtime.tensor import Tensor, tensor
from edgeflow.runtime.worker import serve_in_worker
from edgeflow.store.progress import ProgressEvent
from edgeflow.version import VERSION

__all__ = [
    'EdgeflowError', 'Env', 'FeatureExtractionPipeline', 'GeneratedText', 'GenerationSession', 'Leak', 'LeakDetection', 'MemoryArea', 'MemoryScope', 'MemoryStats', 'Model',
    'ModelMemory', 'NextToken', 'ProgressEvent', 'Resource', 'Tensor', 'TextClassificationPipeline', 'TextGenerationPipeline', 'VERSION', 'ValueInfo', 'add', 'arange', 'argmax',
    'concat', 'detect_leaks', 'div', 'env', 'eye', 'full', 'linspace', 'load_model', 'load_operations', 'matmul', 'mean', 'memory_scope',
    'memory_stats', 'mul', 'on_task', 'ones', 'pipeline', 'randn', 'random', 'relu', 'reshape', 'scheduler_statistics', 'sigmoid', 'slice', 'softmax', 'sub', 'sum', 'tanh',
    'tensor', 'transpose', 'with_memory_scope', 'zeros',
]

serve_in_worker(VERSION)
