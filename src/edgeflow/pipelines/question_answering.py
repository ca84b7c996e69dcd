"""question-answering: the parts of a context that answer a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import AbortSignal
from edgeflow.options import public
from edgeflow.pipelines.base import Pipeline, text_list
from edgeflow.pipelines.text_classification import scores
from edgeflow.runtime.model import RunOptions
from edgeflow.text.tokenizer import Row, token_text

LONGEST_ROW = 384
LONGEST_STRIDE = 128


@dataclass(frozen=True)
class Answer:
    """A part of the context. start, end: where it is. score: its probability; '' is the answer that there is none."""

    score: float
    start: int
    end: int
    answer: str


@dataclass(frozen=True)
class Span:
    """Tokens of a row from start to end, both included."""

    start: int
    end: int
    score: float


class QuestionAnsweringPipeline(Pipeline):
    """Questions with contexts to answers."""

    @public
    async def run(
        self, question: str | list[str], context: str | list[str], *, top_k: int = 1, max_answer_len: int = 15, max_seq_len: int | None = None,
        doc_stride: int | None = None, handle_impossible_answer: bool = False, align_to_words: bool = True,
        priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> Answer | list[Answer] | list[list[Answer]]:
        """The likeliest answer in the context; with top_k above 1 a list of them, best first.

        question, context: texts, or lists of equal length, which give a list of answers. max_answer_len: in tokens. max_seq_len: tokens of
        one run (the model's maximum, at most 384); a longer context is read in parts that share doc_stride tokens (half of
        that, at most 128). handle_impossible_answer: '' may be the answer. align_to_words: answers have whole words.
        priority, signal, deadline: as for Model.run().
        """
        questions, contexts = text_list(question), text_list(context)
        if len(questions) != len(contexts):
            raise EdgeflowError('invalid-argument', f'expected a context for each of {len(questions)} questions, got {len(contexts)}', {})
        for name, value in (('top_k', top_k), ('max_answer_len', max_answer_len)):
            if value < 1:
                raise EdgeflowError('invalid-argument', f'{name}: expected a whole number from 1 up, got {value}', {})
        limit = self.tokenizer.max_length
        longest = max_seq_len if max_seq_len is not None else LONGEST_ROW if limit is None else min(LONGEST_ROW, limit)
        stride = doc_stride if doc_stride is not None else min(longest // 2, LONGEST_STRIDE)
        options = RunOptions(priority, signal, deadline)
        question_first = self.tokenizer.padding_side == 'right'
        source = 'B' if question_first else 'A'
        answers: list[list[Answer]] = []
        for i in range(len(questions)):
            pair = (questions[i], contexts[i]) if question_first else (contexts[i], questions[i])
            rows = self.tokenizer.windows(pair[0], pair[1], max_length=longest, stride=stride, over_pair=question_first)
            starts, ends = await self.run_rows(rows, ['start_logits', 'end_logits'], options)
            width = len(starts) // len(rows)
            found: list[Answer] = []
            impossible = 1000000.0
            for r in range(len(rows)):
                row = rows[r]
                first = r * width + (0 if question_first else width - len(row.ids))
                allowed = [row.sources[t] == source or row.ids[t] == self._cls() for t in range(len(row.ids))]
                start = masked(starts[first:first + len(row.ids)], allowed)
                end = masked(ends[first:first + len(row.ids)], allowed)
                impossible = min(impossible, start[0] * end[0])
                start[0] = 0.0
                end[0] = 0.0
                for span in best_spans(start, end, allowed, max_answer_len, top_k * 2 + 10 if align_to_words else top_k):
                    add_answer(found, contexts[i], span.score, place_of(row, span, source, align_to_words))
            if handle_impossible_answer:
                found.append(Answer(impossible, 0, 0, ''))
            order = sorted(range(len(found)), key=lambda n: (-found[n].score, n))
            answers.append([found[n] for n in order[:top_k]])
        if top_k == 1:
            singles = [row[0] if len(row) > 0 else Answer(0.0, 0, 0, '') for row in answers]
            return singles[0] if isinstance(question, str) else singles
        return answers[0] if isinstance(question, str) else answers

    def _cls(self) -> int | None:
        token = token_text(self.tokenizer.config.get('cls_token'))
        return None if token is None else self.tokenizer.library.token_id(token)


def masked(logits: list[float], allowed: list[bool]) -> list[float]:
    """Probabilities over the allowed tokens."""
    return scores([logits[i] if allowed[i] else -10000.0 for i in range(len(logits))], 'softmax')


def best_spans(start: list[float], end: list[float], allowed: list[bool], longest: int, count: int) -> list[Span]:
    """The likeliest spans of at most `longest` tokens (Chen et al. 2017), best first."""
    found: list[Span] = []
    for s in range(len(start)):
        if allowed[s]:
            for e in range(s, min(s + longest, len(end))):
                if allowed[e]:
                    found.append(Span(s, e, start[s] * end[e]))
    return sorted(found, key=lambda span: (-span.score, span.start, span.end))[:count]


def place_of(row: Row, span: Span, source: str, whole_words: bool) -> tuple[int, int]:
    """Where a span is in the context, as (start, end); of the words that it touches if they are asked for."""
    start, end = row.offsets[span.start][0], row.offsets[span.end][1]
    if whole_words and row.words[span.start] >= 0 and row.words[span.end] >= 0:
        for i in range(len(row.ids)):
            if row.sources[i] == source:
                if row.words[i] == row.words[span.start]:
                    start = min(start, row.offsets[i][0])
                if row.words[i] == row.words[span.end]:
                    end = max(end, row.offsets[i][1])
    return start, end


def add_answer(found: list[Answer], context: str, score: float, place: tuple[int, int]) -> None:
    """Add an answer; one of the same text, upper and lower case alike, gets the score instead."""
    text = context[place[0]:place[1]]
    for i in range(len(found)):
        if found[i].answer.lower() == text.lower():
            found[i] = Answer(found[i].score + score, found[i].start, found[i].end, found[i].answer)
            return
    found.append(Answer(score, place[0], place[1], text))
