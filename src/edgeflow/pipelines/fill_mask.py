"""fill-mask: the likeliest tokens in place of a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.logits import at_least, cut, exp_weights, highest, weight_sum
from edgeflow.host.platform import array_bytes, array_copy, array_ints, array_size
from edgeflow.host.port import AbortSignal, NumericArray
from edgeflow.options import public
from edgeflow.pipelines.base import Pipeline, text_list
from edgeflow.pipelines.pooling import floats
from edgeflow.runtime.model import RunOptions
from edgeflow.text.tokenizer import token_text


@dataclass(frozen=True)
class FilledMask:
    """One token in place of a mask. token: its id. token_str: its text. sequence: the whole text with it in its place."""

    score: float
    token: int
    token_str: str
    sequence: str


class FillMaskPipeline(Pipeline):
    """Texts with masks to the tokens that may stand there."""

    @public
    async def run(
        self, texts: str | list[str], *, top_k: int = 5, targets: str | list[str] | None = None,
        priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> list[FilledMask] | list[list[FilledMask]] | list[list[list[FilledMask]]]:
        """The likeliest tokens for the mask of a text (such as [MASK]), best first.

        One text with one mask gives a list; with several masks a list for each. A list of texts gives a list of such answers. top_k: how
        many. targets: only these words; of one that is no token, the first token.
        priority, signal, deadline: as for Model.run().
        """
        if top_k < 1:
            raise EdgeflowError('invalid-argument', f'top_k: expected a whole number from 1 up, got {top_k}', {})
        mask_token = token_text(self.tokenizer.config.get('mask_token'))
        mask = None if mask_token is None else self.tokenizer.library.token_id(mask_token)
        if mask is None:
            raise EdgeflowError('invalid-tokenizer', "expected a 'mask_token' in tokenizer_config.json, got none", {})
        allowed = None if targets is None else self._target_ids(text_list(targets))
        listed = text_list(texts)
        output = await self.run_texts(listed, ['logits'], RunOptions(priority, signal, deadline))
        width, vocabulary = output.tensor.shape[1], output.tensor.shape[2]
        logits = array_bytes(floats(output.tensor))
        answers: list[list[list[FilledMask]]] = []
        for b in range(len(listed)):
            ids = output.encoded.input_ids[b]
            places = [i for i in range(len(ids)) if ids[i] == mask]
            if len(places) == 0:
                output.tensor.dispose()
                raise EdgeflowError('invalid-argument', f"expected a mask ({mask_token}) in the text, got '{listed[b]}'", {'text': listed[b]})
            masks: list[list[FilledMask]] = []
            for place in places:
                start = (b * width + place) * vocabulary * 4
                row = array_copy('float32', logits[start:start + vocabulary * 4])
                filled: list[FilledMask] = []
                for token, score in likeliest(row, top_k, allowed):
                    whole = [token if i == place else ids[i] for i in range(len(ids))]
                    sequence = self.tokenizer.decode(
                        [i for i in whole if i != self.tokenizer.pad_id], skip_special_tokens=len(places) == 1)
                    filled.append(FilledMask(score, token, self.tokenizer.decode([token]), sequence))
                masks.append(filled)
            answers.append(masks)
        output.tensor.dispose()
        plain = [masks[0] if len(masks) == 1 else masks for masks in answers]
        return cast('list[FilledMask]', plain[0] if isinstance(texts, str) else plain)

    def _target_ids(self, targets: list[str]) -> list[int]:
        """The tokens that were asked for, each once."""
        found: list[int] = []
        for target in targets:
            token = self.tokenizer.library.token_id(target)
            ids = [token] if token is not None else self.tokenizer.encode([target], add_special_tokens=False).input_ids[0]
            if len(ids) > 0 and ids[0] not in found:
                found.append(ids[0])
        if len(found) == 0:
            raise EdgeflowError('invalid-argument', f'targets: expected a word that has a token, got {targets}', {})
        return found


def likeliest(logits: NumericArray, count: int, allowed: list[int] | None) -> list[tuple[int, float]]:
    """The tokens with the greatest probabilities (of all tokens together), best first; of `allowed` if that is given."""
    weights = exp_weights(logits, float(logits[highest(logits)]), 1.0)
    total = weight_sum(weights)
    ids = allowed if allowed is not None else array_ints(at_least(weights, cut(weights, None, min(count, array_size(weights)))))
    found = [(token, float(weights[token]) / total) for token in ids]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:count]
