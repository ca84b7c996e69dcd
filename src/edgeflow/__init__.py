"""edgeflow: ONNX models in the browser, several at once. This module is the public API, in Python and, transpiled, in JS."""

from __future__ import annotations

from edgeflow.api import load_model
from edgeflow.backends.generation import NextToken
from edgeflow.env import Env, env
from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import ValueInfo
from edgeflow.pipelines.feature_extraction import FeatureExtractionPipeline
from edgeflow.pipelines.fill_mask import FillMaskPipeline
from edgeflow.pipelines.pipeline import pipeline
from edgeflow.pipelines.question_answering import QuestionAnsweringPipeline
from edgeflow.pipelines.text2text_generation import Summary, Text2TextGenerationPipeline, Translation
from edgeflow.pipelines.text_classification import TextClassificationPipeline
from edgeflow.pipelines.text_generation import GeneratedText, TextGenerationPipeline
from edgeflow.pipelines.token_classification import TokenClassificationPipeline
from edgeflow.pipelines.zero_shot_classification import ZeroShotClassificationPipeline
from edgeflow.runtime.creation import arange, eye, full, linspace, ones, randn, random
from edgeflow.runtime.generation import GenerationSession
from edgeflow.runtime.leaks import Leak, LeakDetection, detect_leaks
from edgeflow.runtime.memory import MemoryArea, MemoryStats, ModelMemory, Resource, memory_stats
from edgeflow.runtime.model import Model
from edgeflow.runtime.operations import (
    add, argmax, concat, div, load_operations, matmul, mean, mul, relu, reshape, sigmoid, slice, softmax, sub, sum, tanh, transpose,
)
from edgeflow.runtime.page import on_task, scheduler_statistics
from edgeflow.runtime.scope import MemoryScope, memory_scope, with_memory_scope
from edgeflow.runtime.tensor import Tensor, tensor, zeros
from edgeflow.runtime.worker import serve_in_worker
from edgeflow.store.cache import Cache, CachedFile, StorageRoom, cache
from edgeflow.store.downloads import Download, DownloadProgress, download
from edgeflow.store.preload import ModelFile, is_cached, model_files, preload
from edgeflow.store.progress import ProgressEvent
from edgeflow.version import VERSION

__all__ = [
    'Cache', 'CachedFile', 'Download', 'DownloadProgress', 'EdgeflowError', 'Env', 'FeatureExtractionPipeline', 'FillMaskPipeline',
    'GeneratedText', 'GenerationSession', 'Leak', 'LeakDetection', 'MemoryArea', 'MemoryScope', 'MemoryStats', 'Model', 'ModelFile',
    'ModelMemory', 'NextToken', 'ProgressEvent', 'QuestionAnsweringPipeline', 'Resource', 'StorageRoom', 'Summary', 'Tensor',
    'Text2TextGenerationPipeline', 'TextClassificationPipeline', 'TextGenerationPipeline', 'TokenClassificationPipeline', 'Translation',
    'VERSION', 'ValueInfo', 'ZeroShotClassificationPipeline', 'add', 'arange', 'argmax', 'cache', 'concat', 'detect_leaks', 'div',
    'download', 'env', 'eye', 'full', 'is_cached', 'linspace', 'load_model', 'load_operations', 'matmul', 'mean', 'memory_scope',
    'memory_stats', 'model_files', 'mul', 'on_task', 'ones', 'pipeline', 'preload', 'randn', 'random', 'relu', 'reshape',
    'scheduler_statistics', 'sigmoid', 'slice', 'softmax', 'sub', 'sum', 'tanh', 'tensor', 'transpose', 'with_memory_scope', 'zeros',
]

serve_in_worker(VERSION)
