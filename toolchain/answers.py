"""What pipelines answer to which questions, for edgeflow.d.ts: Python's annotations could tell only by repeating every option for each form.

One entry a class, one row a form of its run(): parameters and result in TypeScript. `Options` stands for the interface of its options. The
form that the annotations give comes last, for arguments that may be of several types.
"""

from __future__ import annotations

ONE = 'text: string'
MANY = 'texts: readonly string[]'
CHAT = 'messages: readonly ChatMessage[]'
CHATS = 'conversations: readonly (readonly ChatMessage[])[]'


def _by_top_k(given: str, one: str, several: str) -> list[tuple[str, str]]:
    """topK 1, which is the default, leaves out a level of lists."""
    return [
        (f'{given}, options?: Options & {{ topK?: 1 }}', one),
        (f'<K extends number | null>{given}, options: Options & {{ topK: K }}', f'K extends 1 ? {one} : number extends K ? {one} | {several} : {several}'),
    ]


ANSWERS: dict[str, list[tuple[str, str]]] = {
    'FeatureExtractionPipeline': [('texts: string | readonly string[], options?: Options', 'Float32Tensor')],
    'TextClassificationPipeline': [(f'{ONE}, options?: Options', 'Classification[]'), *_by_top_k(MANY, 'Classification[]', 'Classification[][]')],
    'TokenClassificationPipeline': [
        (f'{given}, options{rest}', f'{answer}{lists}')
        for given, lists in [(ONE, '[]'), (MANY, '[][]')]
        for rest, answer in [
            ("?: Options & { aggregationStrategy?: 'none' }", 'TokenEntity'),
            (": Options & { aggregationStrategy: 'simple' | 'first' | 'average' | 'max' }", 'EntityGroup'),
        ]
    ],
    'FillMaskPipeline': [(f'{ONE}, options?: Options', 'FilledMask[] | FilledMask[][]'), (f'{MANY}, options?: Options', '(FilledMask[] | FilledMask[][])[]')],
    'QuestionAnsweringPipeline': [
        *_by_top_k('question: string, context: string', 'Answer', 'Answer[]'),
        *_by_top_k('questions: readonly string[], contexts: readonly string[]', 'Answer[]', 'Answer[][]'),
    ],
    'TextGenerationPipeline': [
        (f'{ONE}, options?: Options', 'GeneratedString[]'),
        (f'{MANY}, options?: Options', 'GeneratedString[][]'),
        (f'{CHAT}, options: Options & {{ returnFullText: false }}', 'GeneratedString[]'),
        (f'{CHATS}, options: Options & {{ returnFullText: false }}', 'GeneratedString[][]'),
        (f'{CHAT}, options?: Options & {{ returnFullText?: true }}', 'GeneratedChat[]'),
        (f'{CHATS}, options?: Options & {{ returnFullText?: true }}', 'GeneratedChat[][]'),
    ],
    'Text2TextGenerationPipeline': [
        (f'{ONE}, options?: Options', 'Written[]'),
        (f'{MANY}, options?: Options & {{ numReturnSequences?: 1 | null }}', 'Written[]'),
        (f'{MANY}, options?: Options', 'Written[] | Written[][]'),
    ],
    'ZeroShotClassificationPipeline': [
        (f'{ONE}, candidateLabels: string | readonly string[], options?: Options', 'ZeroShotClassification'),
        (f'{MANY}, candidateLabels: string | readonly string[], options?: Options', 'ZeroShotClassification[]'),
    ],
}

# What those forms name and Python has no class of its own for: the class that it is one of, and its declaration.
NARROWER: dict[str, tuple[str, str]] = {
    'Float32Tensor': ('Tensor', '''\
/** A tensor of float32 in the page's memory. */
export interface Float32Tensor extends Tensor {
  readonly data: Float32Array;
  read(): Promise<Float32Array>;
}
'''),
    'GeneratedString': ('GeneratedText', '''\
/** generatedText: the given text and what was written after it. */
export interface GeneratedString extends GeneratedText {
  readonly generatedText: string;
}
'''),
    'GeneratedChat': ('GeneratedText', '''\
/** generatedText: the messages of a conversation and the answer as one more. */
export interface GeneratedChat extends GeneratedText {
  readonly generatedText: ChatMessage[];
}

/** One message of a conversation, with what else the model's chat template reads. role: 'system', 'user', 'assistant', ... */
export interface ChatMessage {
  role: string;
  content: string;
  [more: string]: unknown;
}
'''),
}

# A class that answers differently for each of its tasks: a variable for what it answers with, and what that is; None: for the others.
VARIABLE = 'Written'
BY_TASK: dict[str, dict[str | None, str]] = {
    'Text2TextGenerationPipeline': {None: 'GeneratedString', 'summarization': 'Summary', 'translation': 'Translation'},
}
