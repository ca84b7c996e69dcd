"""text-classification: texts to labels with scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import AbortSignal
from edgeflow.options import public
from edgeflow.pipelines.base import Pipeline, text_list
from edgeflow.runtime.model import RunOptions
from edgeflow.runtime.tensor import numbers


@dataclass(frozen=True)
class Classification:
    """A label of the model with its score, from 0 to 1 (a plain number for regression models)."""

    label: str
    score: float


class TextClassificationPipeline(Pipeline):
    """Texts to labels with scores."""

    @public
    async def run(
        self, texts: str | list[str], *, top_k: int | None = 1, multi_label: bool | None = None,
        priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> list[Classification] | list[list[Classification]]:
        """The likeliest labels of one text or of a list of texts.

        top_k: how many labels, best first; None for all. With 1 the answer is a list with one label for each text; else
        it is a list of labels for one text, and a list of such lists for a list of texts. multi_label: True scores every
        label for itself (sigmoid), False lets them share 1 (softmax), None goes by the model's config.json.
        priority, signal, deadline: as for Model.run().
        """
        if top_k is not None and top_k < 1:
            raise EdgeflowError('invalid-argument', f'top_k: expected a whole number from 1 up, got {top_k}', {})
        output = await self.run_texts(text_list(texts), ['logits'], RunOptions(priority, signal, deadline))
        batch, count = output.tensor.shape[0], output.tensor.shape[1]
        values: list[float] = numbers(output.tensor.dtype, output.tensor.data)
        output.tensor.dispose()
        names = label_names(self.config, count)
        function = score_function(self.config, count, multi_label)
        keep = count if top_k is None else min(top_k, count)
        rows: list[list[Classification]] = []
        for b in range(batch):
            rows.append(ranked(scores(values[b * count:(b + 1) * count], function), names, keep))
        if top_k == 1:
            return [row[0] for row in rows]
        return rows[0] if isinstance(texts, str) else rows


def label_names(config: Mapping[str, object], count: int) -> list[str]:
    """The names of the labels, by config.json's id2label; LABEL_0, LABEL_1, ... where it has none."""
    table = config.get('id2label')
    names: list[str] = []
    for i in range(count):
        name = table.get(str(i)) if isinstance(table, dict) else None
        names.append(str(name) if name is not None else f'LABEL_{i}')
    return names


def score_function(config: Mapping[str, object], count: int, multi_label: bool | None) -> str:
    """'softmax', 'sigmoid' or 'none', as transformers chooses it: one label alone cannot share with others."""
    if multi_label is not None:
        return 'sigmoid' if multi_label else 'softmax'
    kind = config.get('problem_type')
    if kind == 'regression':
        return 'none'
    return 'sigmoid' if kind == 'multi_label_classification' or count == 1 else 'softmax'


def scores(logits: list[float], function: str) -> list[float]:
    """The scores of one row of logits."""
    if function == 'none':
        return logits
    if function == 'sigmoid':
        return [sigmoid(x) for x in logits]
    top = max(logits)
    parts = [math.exp(x - top) for x in logits]
    total = sum(parts)
    return [part / total for part in parts]


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x), without overflow for large negative x."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    small = math.exp(x)
    return small / (1.0 + small)


def ranked(values: list[float], names: list[str], keep: int) -> list[Classification]:
    """The `keep` best labels, best first; of equal ones the first in the model's order."""
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    return [Classification(names[i], values[i]) for i in order[:keep]]
