"""feature-extraction: texts to vectors."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.options import check_choice, public
from edgeflow.pipelines.base import Pipeline, first_output, text_list
from edgeflow.pipelines.pooling import first_pooled, mean_pooled, normalized
from edgeflow.runtime.tensor import Tensor, describe

OUTPUTS = ['last_hidden_state', 'logits', 'token_embeddings']
POOLINGS = ['none', 'mean', 'cls']


class FeatureExtractionPipeline(Pipeline):
    """Texts to vectors: one for each token, or one for each text."""

    @public
    async def run(self, texts: str | list[str], *, pooling: str = 'none', normalize: bool = False) -> Tensor:
        """The vectors of one text or of a list of texts (one batch, padded and masked).

        pooling: 'none' gives float32 [batch, sequence, width], a vector for every token, padding included; 'mean' (over
        the text's own tokens) and 'cls' (its first token) give [batch, width]. normalize: make every vector 1 long.
        """
        check_choice(pooling, POOLINGS, 'pooling')
        output = await self.run_texts(text_list(texts))
        hidden = first_output(output.tensors, OUTPUTS)
        result = hidden
        if pooling != 'none':
            if len(hidden.shape) != 3:
                raise EdgeflowError(
                    'invalid-graph',
                    f'pooling expects an output [batch, sequence, width], got {describe(hidden.dtype, hidden.shape)}',
                    {'shape': hidden.shape})
            mask = output.encoded.attention_mask
            result = mean_pooled(hidden, mask) if pooling == 'mean' else first_pooled(hidden, mask)
        if normalize:
            result = normalized(result)
        for tensor in output.tensors.values():
            if tensor is not result:
                tensor.dispose()
        return result
