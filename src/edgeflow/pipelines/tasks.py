"""The one table of tasks: what a pipeline of this name is made of, and the model it takes when none is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import to_dict
from edgeflow.options import nearest
from edgeflow.pipelines.base import Pipeline
from edgeflow.pipelines.feature_extraction import FeatureExtractionPipeline
from edgeflow.pipelines.fill_mask import FillMaskPipeline
from edgeflow.pipelines.question_answering import QuestionAnsweringPipeline
from edgeflow.pipelines.text_classification import TextClassificationPipeline
from edgeflow.pipelines.text2text_generation import Text2TextGenerationPipeline
from edgeflow.pipelines.text_generation import TextGenerationPipeline
from edgeflow.pipelines.token_classification import TokenClassificationPipeline
from edgeflow.pipelines.zero_shot_classification import ZeroShotClassificationPipeline
from edgeflow.runtime.model import Model
from edgeflow.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Task:
    """One task: its default model on the hub, how its pipeline is made, and whether that takes a generation_config.json.

    decoder: the file of a second model, which goes on from what the first one encodes.
    """

    default_model: str
    build: Callable[[Model, Tokenizer, dict[str, object]], Pipeline]
    generates: bool = False
    decoder: str = ''


DECODER = 'decoder_model_merged'

TASKS: dict[str, Task] = {
    'feature-extraction': Task(
        'onnx-community/all-MiniLM-L6-v2-ONNX',
        lambda model, tokenizer, config: FeatureExtractionPipeline('feature-extraction', model, tokenizer, config)),
    'text-classification': Task(
        'Xenova/distilbert-base-uncased-finetuned-sst-2-english',
        lambda model, tokenizer, config: TextClassificationPipeline('text-classification', model, tokenizer, config)),
    'token-classification': Task(
        'Xenova/bert-base-multilingual-cased-ner-hrl',
        lambda model, tokenizer, config: TokenClassificationPipeline('token-classification', model, tokenizer, config)),
    'fill-mask': Task(
        'Xenova/bert-base-uncased', lambda model, tokenizer, config: FillMaskPipeline('fill-mask', model, tokenizer, config)),
    'question-answering': Task(
        'Xenova/distilbert-base-cased-distilled-squad',
        lambda model, tokenizer, config: QuestionAnsweringPipeline('question-answering', model, tokenizer, config)),
    'text-generation': Task(
        'onnx-community/SmolLM2-135M-Instruct-ONNX',
        lambda model, tokenizer, config: TextGenerationPipeline('text-generation', model, tokenizer, config), True),
    'text2text-generation': Task(
        'Xenova/flan-t5-small',
        lambda model, tokenizer, config: Text2TextGenerationPipeline('text2text-generation', model, tokenizer, config), True, DECODER),
    'summarization': Task(
        'Xenova/distilbart-cnn-6-6',
        lambda model, tokenizer, config: Text2TextGenerationPipeline('summarization', model, tokenizer, config), True, DECODER),
    'translation': Task(
        'Xenova/t5-small',
        lambda model, tokenizer, config: Text2TextGenerationPipeline('translation', model, tokenizer, config), True, DECODER),
    'zero-shot-classification': Task(
        'Xenova/distilbert-base-uncased-mnli',
        lambda model, tokenizer, config: ZeroShotClassificationPipeline('zero-shot-classification', model, tokenizer, config)),
}

ALIASES: dict[str, str] = {
    'embeddings': 'feature-extraction', 'ner': 'token-classification', 'sentiment-analysis': 'text-classification',
}


def task_name(task: object) -> str:
    """The task's own name for a name or alias; EdgeflowError 'unsupported-task' with the nearest one."""
    if isinstance(task, str):
        name = ALIASES.get(task, task)
        if name in TASKS:
            return name
    known = [*TASKS.keys(), *ALIASES.keys()]
    near = nearest(task, known) if isinstance(task, str) else None
    hint = f" Did you mean '{near}'?" if near is not None else ''
    raise EdgeflowError(
        'unsupported-task', f"there is no pipeline for the task '{task}'.{hint} The tasks: {', '.join(known)}",
        {'task': task, 'nearest': near, 'known': known})


def default_model(task: str) -> str:
    """The model of a task when none is given: the one of env.default_models, else the table's."""
    chosen = to_dict(env.default_models).get(task)
    return TASKS[task].default_model if chosen is None else cast(str, chosen)
