"""feature-extraction: texts to vectors."""

from __future__ import annotations

from typing import Literal

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import AbortSignal
from edgeflow.ir.pooled import MASK, pooled_name
from edgeflow.options import check_choice, public
from edgeflow.pipelines.base import Pipeline, first_name, text_list
from edgeflow.pipelines.pooling import first_pooled, mean_pooled, normalized
from edgeflow.runtime.model import RunOptions
from edgeflow.runtime.scope import memory_scope
from edgeflow.runtime.tensor import Tensor, describe

OUTPUTS = ['last_hidden_state', 'logits', 'token_embeddings']
POOLINGS = ['none', 'mean', 'cls']


class FeatureExtractionPipeline(Pipeline):
    """Texts to vectors: one for each token, or one for each text."""

    @public
    async def run(
        self, texts: str | list[str], *, pooling: Literal['none', 'mean', 'cls'] = 'none', normalize: bool = False,
        priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> Tensor:
        """The vectors of one text or of a list of texts (one batch, padded and masked).

        pooling: 'none' gives float32 [batch, sequence, width], a vector for every token, padding included; 'mean' (over
        the text's own tokens) and 'cls' (its first token) give [batch, width]. normalize: make every vector 1 long.
        priority, signal, deadline: as for Model.run().
        """
        check_choice(pooling, POOLINGS, 'pooling')
        encoded = self.tokenizer.encode(text_list(texts), padding=True, truncation=True)
        wanted = first_name([info.name for info in self.model.outputs], OUTPUTS)
        # A GPU is not to wait for what runs on WASM.
        there = pooling != 'none' and self.model.device == 'wasm' and MASK in self.model.input_names()
        if there:
            wanted = pooled_name(wanted, pooling == 'cls', normalize)
        outputs = await self.run_encoded(encoded, [wanted], RunOptions(priority, signal, deadline))
        if there:
            return outputs[wanted]
        with memory_scope() as scope:
            result = scope.track(outputs[wanted])
            if pooling != 'none':
                if len(result.shape) != 3:
                    raise EdgeflowError(
                        'invalid-graph',
                        f'pooling expects an output [batch, sequence, width], got {describe(result.dtype, result.shape)}',
                        {'shape': result.shape})
                mask = encoded.attention_mask
                result = mean_pooled(result, mask) if pooling == 'mean' else first_pooled(result, mask)
            return scope.keep(normalized(result) if normalize else result)
