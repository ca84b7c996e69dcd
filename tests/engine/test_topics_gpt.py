"""examples/models/topics-gpt: that the committed model is what its note says, and that the engine runs it as onnxruntime does."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from edgeflow.pipelines.pipeline import pipeline
from edgeflow.runtime.tensor import tensor
from toolchain.paths import EXAMPLES

FOLDER = EXAMPLES / 'models/topics-gpt'
FILE = FOLDER / 'onnx/model_quantized.onnx'
# One activation that rounds the other way shifts values by a step of int8; logits reach 19.
TOLERANCE = 0.5
MARGIN = 0.5


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob('*') if path.is_file()) <= 4_000_000


def test_the_note_tells_the_losses_of_the_record() -> None:
    record, note = json.loads((FOLDER / 'training.json').read_text()), (FOLDER / 'README.md').read_text()
    for kind in ('fp32', 'int8'):
        for part in ('train', 'held_out'):
            assert f'{record[kind][part]:.3f} nats' in note
    assert record['int8']['held_out'] - record['fp32']['held_out'] < 0.02, 'int8 costs little'


def reference(ids: list[int]) -> np.ndarray:
    """Logits of all positions by onnxruntime, without a past."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(FILE), options)
    config = json.loads((FOLDER / 'config.json').read_text())
    empty = np.zeros((1, config['n_head'], 0, config['n_embd'] // config['n_head']), np.float32)
    row = np.array([ids], np.int64)
    feed = {'input_ids': row, 'attention_mask': np.ones_like(row), 'position_ids': np.arange(len(ids))[None]}
    feed |= {entry.name: empty for entry in session.get_inputs() if entry.name.startswith('past')}
    return session.run(['logits'], feed)[0][0]


async def test_generation_is_that_of_onnxruntime_on_a_cache_written_in_place() -> None:
    generator = await pipeline('text-generation', str(FOLDER))
    prompt = [0, *Tokenizer.from_file(str(FOLDER / 'tokenizer.json')).encode('# The "for" statement\n\n').ids]
    session = await generator.model.open_session()
    ids = [*prompt, (await session.prompt(prompt)).token_id]
    while len(ids) < 100:
        ids.append((await session.feed([ids[-1]])).token_id)
    assert (await generator.model._executable.decoder())._pages is not None, 'attention over past and new keys is the cache in place'
    logits = reference(ids[:-1])
    chosen = np.array([logits[i - 1, ids[i]] for i in range(len(prompt), len(ids))])
    # Each token is the likeliest by onnxruntime too, given those before, or as good as that.
    assert (logits[len(prompt) - 1:].max(-1) - chosen).max() < MARGIN
    row = np.array([ids[:-1]], np.int64)
    feed = {'input_ids': row, 'attention_mask': np.ones_like(row), 'position_ids': np.arange(row.shape[1])[None]}
    empty = np.zeros((1, 6, 0, 32), np.float32)
    pasts = {f'past_key_values.{i}.{kind}': empty for i in range(6) for kind in ('key', 'value')}
    got = await generator.model.run({name: tensor(value) for name, value in (feed | pasts).items()})
    assert np.abs(np.array(got['logits'].data).reshape(logits.shape) - logits).max() < TOLERANCE
    session.dispose()
    generator.dispose()


async def test_a_heading_of_the_text_gives_its_section() -> None:
    generator = await pipeline('text-generation', str(FOLDER))
    answer = await generator.run([{'role': 'user', 'content': 'The "for" statement'}], do_sample=False, max_new_tokens=24, return_full_text=False)
    assert answer[0].generated_text.startswith('The "for" statement is used to iterate over the elements of a sequence')
    generator.dispose()


def test_what_is_held_out_is_not_learned_from_and_tokens_keep_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / 'models'))
    from topics_text import encode, paragraphs, sections
    parts = sections()
    learned = {paragraph.strip() for part in parts if not part.held_out for paragraph in paragraphs(part.body)}
    unseen = [part for part in parts if part.held_out]
    assert unseen and all(paragraph.strip() not in learned for part in unseen for paragraph in paragraphs(part.body))
    assert len({part.body for part in parts}) == len(parts), 'each section once'
    tokenizer = Tokenizer.from_file(str(FOLDER / 'tokenizer.json'))
    for part in parts:
        assert tokenizer.decode(list(encode(tokenizer, [part]))[1:-1]) == part.text()
