"""token-classification: a label for each token, or for each group of tokens that make up an entity (NER)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import AbortSignal
from edgeflow.options import check_choice, public
from edgeflow.pipelines.base import Pipeline, text_list
from edgeflow.pipelines.text_classification import label_names, scores
from edgeflow.runtime.model import RunOptions
from edgeflow.text.tokenizer import LARGEST_LENGTH, Row, Tokenizer, token_text

STRATEGIES = ['none', 'simple', 'first', 'average', 'max']


@dataclass(frozen=True)
class TokenEntity:
    """A token with its label. index: its place among the tokens, special ones counted. start, end: where it is in the text."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


@dataclass(frozen=True)
class EntityGroup:
    """Tokens that are one entity. entity_group: their label, without B- and I-. score: the mean of theirs."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True)
class ScoredToken:
    """A token with the scores of all labels. is_subword: whether it goes on with the word of the token before."""

    word: str
    scores: list[float]
    start: int
    end: int
    index: int
    is_subword: bool


class TokenClassificationPipeline(Pipeline):
    """Texts to labelled tokens or entities."""

    @public
    async def run(
        self, texts: str | list[str], *, aggregation_strategy: Literal['none', 'simple', 'first', 'average', 'max'] = 'none',
        ignore_labels: list[str] | None = None, stride: int | None = None,
        priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> list[TokenEntity] | list[EntityGroup] | list[list[TokenEntity]] | list[list[EntityGroup]]:
        """The labelled tokens of a text, or of each of a list of texts.

        aggregation_strategy: 'none' gives TokenEntity for each token. The others give EntityGroup: 'simple' joins neighbours of one
        label; 'first', 'average' and 'max' give all tokens of a word the label of its first token, of the mean of their scores, or of the
        token with the best score. ignore_labels: what is left out, ['O'] if not given. stride: read a text that is too long in parts
        which share so many tokens; without it its end is cut off.
        priority, signal, deadline: as for Model.run().
        """
        check_choice(aggregation_strategy, STRATEGIES, 'aggregation_strategy')
        if stride is not None and aggregation_strategy == 'none':
            raise EdgeflowError('invalid-argument', "stride: expected an aggregation_strategy other than 'none' with it", {})
        ignored = ignore_labels if ignore_labels is not None else ['O']
        options = RunOptions(priority, signal, deadline)
        answers: list[list[TokenEntity] | list[EntityGroup]] = []
        for text in text_list(texts):
            answers.append(await self._entities(text, aggregation_strategy, ignored, stride, options))
        return cast('list[TokenEntity]', answers[0] if isinstance(texts, str) else answers)

    async def _entities(
        self, text: str, strategy: str, ignored: list[str], stride: int | None, options: RunOptions,
    ) -> list[TokenEntity] | list[EntityGroup]:
        limit = self.tokenizer.max_length
        rows: list[Row] = self.tokenizer.windows(
            text, None, max_length=limit if limit is not None else LARGEST_LENGTH, stride=stride if stride is not None else 0)
        if stride is None:
            rows = rows[:1]
        [logits] = await self.run_rows(rows, ['logits'], options)
        width = max([len(row.ids) for row in rows])
        count = len(logits) // (len(rows) * width)
        names = label_names(self.config, count)
        found: list[TokenEntity | EntityGroup] = []
        for r in range(len(rows)):
            offset = (r * width + (width - len(rows[r].ids) if self.tokenizer.padding_side == 'left' else 0)) * count
            tokens = scored_tokens(self.tokenizer, text, rows[r], logits[offset:offset + len(rows[r].ids) * count], count)
            for entity in aggregated(self.tokenizer, tokens, names, strategy):
                if (entity.entity if isinstance(entity, TokenEntity) else entity.entity_group) not in ignored:
                    found.append(entity)
        return without_overlaps(cast('list[EntityGroup]', found)) if len(rows) > 1 else cast('list[EntityGroup]', found)


def scored_tokens(tokenizer: Tokenizer, text: str, row: Row, logits: list[float], count: int) -> list[ScoredToken]:
    """The tokens of a row with their scores, the special ones left out."""
    unknown = token_text(tokenizer.config.get('unk_token'))
    found: list[ScoredToken] = []
    for i in range(len(row.ids)):
        if row.sources[i] == '':
            continue
        start, end = row.offsets[i]
        word = cast(str, tokenizer.library.token(row.ids[i]))
        within = text[start:end]
        is_subword = len(word) != len(within) if tokenizer.marks_subwords else start > 0 and ' ' not in text[start - 1:start + 1]
        if word == unknown:
            word = within
            is_subword = False
        found.append(ScoredToken(word, scores(logits[i * count:(i + 1) * count], 'softmax'), start, end, i, is_subword))
    return found


def aggregated(tokenizer: Tokenizer, tokens: list[ScoredToken], names: list[str], strategy: str) -> list[TokenEntity] | list[EntityGroup]:
    """The tokens of a row as entities by a strategy of run()."""
    if strategy == 'first' or strategy == 'average' or strategy == 'max':
        entities = [labelled(word, names, strategy, joined(tokenizer, word)) for word in words_of(tokens)]
    else:
        entities = [labelled([token], names, 'first', token.word) for token in tokens]
    return entities if strategy == 'none' else grouped(tokenizer, entities)


def words_of(tokens: list[ScoredToken]) -> list[list[ScoredToken]]:
    """The tokens of each word."""
    words: list[list[ScoredToken]] = []
    for token in tokens:
        if len(words) > 0 and token.is_subword:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def joined(tokenizer: Tokenizer, word: list[ScoredToken]) -> str:
    return tokenizer.library.join_tokens([token.word for token in word])


def labelled(word: list[ScoredToken], names: list[str], strategy: str, text: str) -> TokenEntity:
    """The one label of a word, which may be one token."""
    chosen = word[0].scores
    if strategy == 'max':
        for token in word:
            if max(token.scores) > max(chosen):
                chosen = token.scores
    elif strategy == 'average':
        chosen = [sum([token.scores[i] for token in word]) / len(word) for i in range(len(names))]
    score = max(chosen)
    return TokenEntity(names[chosen.index(score)], score, word[0].index, text, word[0].start, word[-1].end)


def tag_of(label: str) -> str:
    """The label without B- or I-."""
    return label[2:] if label.startswith('B-') or label.startswith('I-') else label


def grouped(tokenizer: Tokenizer, entities: list[TokenEntity]) -> list[EntityGroup]:
    """Neighbours with one tag together; a B- begins a group."""
    groups: list[list[TokenEntity]] = []
    for entity in entities:
        goes_on = len(groups) > 0 and tag_of(entity.entity) == tag_of(groups[-1][-1].entity) and not entity.entity.startswith('B-')
        if goes_on:
            groups[-1].append(entity)
        else:
            groups.append([entity])
    return [
        EntityGroup(
            group[0].entity.split('-', 1)[-1], sum([entity.score for entity in group]) / len(group),
            tokenizer.library.join_tokens([entity.word for entity in group]), group[0].start, group[-1].end)
        for group in groups]


def without_overlaps(groups: list[EntityGroup]) -> list[EntityGroup]:
    """Of groups that two windows found in one place, the longest, of equal ones the likeliest."""
    kept: list[EntityGroup] = []
    for group in sorted(groups, key=lambda group: group.start):
        if len(kept) == 0 or not kept[-1].start <= group.start < kept[-1].end:
            kept.append(group)
            continue
        longer = (group.end - group.start) - (kept[-1].end - kept[-1].start)
        if longer > 0 or (longer == 0 and group.score > kept[-1].score):
            kept[-1] = group
    return kept
