"""edgeflow: ONNX models in the browser, several at once. This module is the public API, in Python and, transpiled, in JS."""

from __future__ import annotations

from edgeflow.api import load_model
from edgeflow.env import Env, env
from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import ValueInfo
from edgeflow.pipelines.feature_extraction import FeatureExtractionPipeline
from edgeflow.pipelines.pipeline import pipeline
from edgeflow.pipelines.text_classification import TextClassificationPipeline
from edgeflow.runtime.model import Model
from edgeflow.runtime.tensor import Tensor, tensor
from edgeflow.store.progress import ProgressEvent

__all__ = [
    'EdgeflowError', 'Env', 'FeatureExtractionPipeline', 'Model', 'ProgressEvent', 'Tensor', 'TextClassificationPipeline',
    'VERSION', 'ValueInfo', 'env', 'load_model', 'pipeline', 'tensor',
]

VERSION: str = '0.1.0'
