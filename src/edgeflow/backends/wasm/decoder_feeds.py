"""What a decoder's graphs are fed: its tokens, room for their past, and an encoder's states."""

from __future__ import annotations

from edgeflow.backends.contract import Feed
from edgeflow.backends.wasm.pages import PastInput
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_ints, array_of, array_view, join_bytes, new_array
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import ValueInfo
from edgeflow.passes.past_positions import POSITIONS, STATES

CAPACITY_GROWTH = 4
STATES_MASK = 'encoder_attention_mask'


def token_feeds(
    inputs: list[ValueInfo], deciding: list[str], ids: list[list[int]], lengths: list[int], capacity: int, branch: int,
) -> dict[str, Feed]:
    """What a decoder is told of its tokens: those it takes of input_ids, attention_mask, position_ids and the branch."""
    batch = len(ids)
    fresh = len(ids[0])
    tokens: list[int] = []
    places: list[int] = []
    mask: list[int] = []
    for i in range(batch):
        tokens.extend(ids[i])
        places.extend(range(lengths[i], lengths[i] + fresh))
        mask.extend([0] * (capacity - lengths[i]))
        mask.extend([1] * (lengths[i] + fresh))
    feeds: dict[str, Feed] = {POSITIONS: Feed('int64', [batch, fresh], array_of('int64', places))}
    for info in inputs:
        if info.name == 'input_ids':
            feeds[info.name] = Feed(info.dtype, [batch, fresh], array_of(info.dtype, tokens))
        elif info.name == 'position_ids':
            feeds[info.name] = Feed(info.dtype, [batch, fresh], array_of(info.dtype, places))
        elif info.name == 'attention_mask':
            feeds[info.name] = Feed(info.dtype, [batch, capacity + fresh], array_of(info.dtype, mask))
        elif info.name in deciding:
            feeds[info.name] = Feed(info.dtype, [1], array_of(info.dtype, [branch]))
    return feeds


def past_feeds(pasts: list[PastInput], sizes: list[int]) -> dict[str, Feed]:
    """The pasts of these sizes: rows, tokens, states; they lie in pages, so nothing is given of them but their shapes."""
    feeds: dict[str, Feed] = {}
    for past in pasts:
        feeds[past.name] = Feed('float32', [sizes[0], past.heads, sizes[2 if past.fixed else 1], past.width], new_array('float32', 0))
    return feeds


def state_feeds(inputs: list[ValueInfo], rows: int, states: int) -> dict[str, Feed]:
    """A mask that shows all states, and the states themselves, which nobody reads: what they say is in pages."""
    feeds: dict[str, Feed] = {}
    for info in inputs:
        if info.name == STATES_MASK:
            feeds[info.name] = Feed(info.dtype, [rows, states], array_of(info.dtype, [1] * (rows * states)))
        elif info.name == STATES:
            feeds[info.name] = filled(info, 1, 1)
    return feeds


def present_of(past: str) -> str:
    """The output that continues a past."""
    return past.replace('past_key_values', 'present')


def capacity_for(length: int, first: int) -> int:
    """How many places a plan has for so many; 0 for none."""
    capacity = 0 if length == 0 else first
    while capacity < length:
        capacity = capacity * CAPACITY_GROWTH
    return capacity


def seen_states(inputs: dict[str, Feed]) -> dict[str, Feed]:
    """A text's inputs with only those states of its encoder that the mask shows: attention to the others would be 0."""
    states = inputs[STATES]
    mask = inputs.get(STATES_MASK)
    rows = states.shape[1]
    shown = [1] * rows if mask is None else array_ints(mask.data)
    data = array_bytes(states.data)
    size = len(data) // max(rows, 1)
    seen = [data[i * size:(i + 1) * size] for i in range(rows) if len(shown) == rows and shown[i] != 0]
    if len(seen) == 0:
        raise EdgeflowError('invalid-input', f'{STATES_MASK}: expected {rows} elements, not all of them 0', {'name': STATES_MASK})
    feeds: dict[str, Feed] = {STATES: Feed(states.dtype, [1, len(seen), states.shape[2]], array_view(states.dtype, join_bytes(seen)))}
    if mask is not None:
        feeds[STATES_MASK] = Feed(mask.dtype, [1, len(seen)], array_of(mask.dtype, [1] * len(seen)))
    return feeds


def filled(info: ValueInfo, batch: int, length: int) -> Feed:
    """An input of zeros: a past, or states that nobody reads. batch, length: of the dims that are open, the first and the others."""
    dims: list[int | str] = [] if info.shape is None else info.shape
    shape: list[int] = []
    for i in range(len(dims)):
        dim = dims[i]
        shape.append(dim if not isinstance(dim, str) else batch if i == 0 else length)
    return Feed(info.dtype, shape, new_array(info.dtype, element_count(shape)))
