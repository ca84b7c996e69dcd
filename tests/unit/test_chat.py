"""What a chat template sees, and which one is taken."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import json_text, utf8_encode
from edgeflow.text.chat import chat_text, prepared, template_of
from edgeflow.text.tokenizer import Tokenizer, read_tokenizer

LIST = '{% for message in messages %}\n{{ message.role }}: {{ message.content }}\n{% endfor %}\n{% if add_generation_prompt %}me:{% endif %}'
MESSAGES: list[dict[str, object]] = [{'role': 'user', 'content': 'Hi <b>'}, {'role': 'assistant', 'content': 'é', 'name': None}]


def tokenizer_with(config: dict[str, object]) -> Tokenizer:
    return read_tokenizer(utf8_encode(json_text({
        'version': '1.0', 'truncation': None, 'padding': None, 'normalizer': None, 'post_processor': None, 'added_tokens': [],
        'pre_tokenizer': {'type': 'Whitespace'}, 'decoder': None,
        'model': {'type': 'WordLevel', 'vocab': {'<unk>': 0}, 'unk_token': '<unk>'},
    })), utf8_encode(json_text(config)))


async def rendered(template: str) -> str:
    return await chat_text(tokenizer_with({'bos_token': '<s>', 'eos_token': {'content': '</s>'}}), MESSAGES, chat_template=template)


async def test_blocks_leave_no_lines_and_text_is_not_escaped() -> None:
    tokenizer = tokenizer_with({'chat_template': LIST})
    assert await chat_text(tokenizer, MESSAGES) == 'user: Hi <b>\nassistant: é\n'
    assert await chat_text(tokenizer, MESSAGES, add_generation_prompt=True) == 'user: Hi <b>\nassistant: é\nme:'


async def test_a_template_has_the_special_tokens_and_the_filters_of_transformers() -> None:
    assert await rendered('{{ bos_token }}{{ eos_token }}{{ pad_token }}') == '<s></s>'
    assert await rendered('{{ messages[1] | tojson }}') == '{"role": "assistant", "content": "é"}'
    assert await rendered('{{ {"a": [1, "<"]} | tojson(indent=2) }}') == '{\n  "a": [\n    1,\n    "<"\n  ]\n}'
    assert await rendered('{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}') == 'user'
    assert await rendered('{% generation %}x{% endgeneration %}') == 'x'
    assert len(await rendered('{{ strftime_now("%Y-%m-%d") }}')) == 10
    assert await rendered('{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}') == '2'


TEMPLATES: list[list[str]] = [
    ['{%- macro show(m) -%}<{{ m.role | upper }}>{{ m.content | trim }}{%- endmacro -%}{% for m in messages[1:] %}{{ show(m) }}|{% endfor %}',
     '<ASSISTANT>é|'],
    ["{% for m in messages[::-1] %}{{ loop.index }}{{ m['role'] }}{{ ' ' if loop.first else '' }}{% endfor %}", '1assistant 2user'],
    ["{{ messages | map(attribute='role') | join(', ') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
     'user, assistant 1'],
    ["{% if messages[0].content is string and (nothing is not defined or tools is none) %}{{ 'a' ~ 1 ~ 2.5 }}{% endif %}", 'a12.5'],
    ["{% for k, v in {'a': 1, 'b': [2, none]}.items() %}{{ k }}={{ v | tojson }};{% endfor %}", 'a=1;b=[2, null];'],
    ["{{ 'x</think>\ny'.split('</think>')[-1].strip('\n') }}{{ 'abc'[1:] }}{{ 7 // 2 }}{{ 7 % 3 }}", 'ybc31'],
    ["{%- set ns = namespace(last=0) -%}{% for m in messages %}{% if m.role == 'assistant' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
     '{{ ns.last }}', '1'],
    ["{% for m in messages if m.role != 'user' %}{{ m.role[0] }}{% else %}none{% endfor %}{{ missing | default('d') }}", 'ad'],
    ['  {% if true %}\n  kept\n  {% endif %}\nend', '  kept\nend'],
]


@pytest.mark.parametrize('template, expected', TEMPLATES)
async def test_what_real_templates_use_is_there(template: str, expected: str) -> None:
    assert await rendered(template) == expected


async def test_tools_documents_and_variables_are_passed_through() -> None:
    tokenizer = tokenizer_with({'chat_template': [
        {'name': 'default', 'template': 'plain {{ enable_thinking }}'},
        {'name': 'tool_use', 'template': '{{ tools[0].function.name }} {{ documents | length }}'},
        {'name': 'other', 'template': 'other'}]})
    tools: list[dict[str, object]] = [{'type': 'function', 'function': {'name': 'weather', 'parameters': {'type': 'object'}}}]
    assert await chat_text(tokenizer, MESSAGES, variables={'enable_thinking': 'on'}) == 'plain on'
    assert await chat_text(tokenizer, MESSAGES, tools=tools, documents=[{'text': 'a'}]) == 'weather 1'
    assert template_of(tokenizer, 'other', False) == 'other'
    assert template_of(tokenizer, '{{ x }}', False) == '{{ x }}'


def test_reasoning_has_every_name_that_templates_read() -> None:
    assert prepared({'role': 'assistant', 'thinking': 'hm', 'tool_calls': None}) == {
        'role': 'assistant', 'thinking': 'hm', 'reasoning_content': 'hm'}
    assert prepared({'role': 'assistant', 'reasoning_content': 'a', 'thinking': 'b'}) == {
        'role': 'assistant', 'reasoning_content': 'a', 'thinking': 'b'}
    assert prepared({'reasoning': 'c'}) == {'reasoning': 'c', 'reasoning_content': 'c', 'thinking': 'c'}


async def test_without_a_template_and_with_a_broken_one() -> None:
    with pytest.raises(EdgeflowError) as e:
        await chat_text(tokenizer_with({}), MESSAGES)
    assert e.value.code == 'invalid-tokenizer'
    with pytest.raises(EdgeflowError) as e:
        await rendered('{% if %}')
    assert e.value.code == 'invalid-tokenizer'


@pytest.mark.parametrize('messages', [[], 'Hello', [3]])
async def test_what_is_no_list_of_messages_is_refused(messages: object) -> None:
    with pytest.raises(EdgeflowError) as e:
        await chat_text(tokenizer_with({'chat_template': LIST}), messages)
    assert e.value.code == 'invalid-argument'


async def test_what_the_template_raises_is_told() -> None:
    with pytest.raises(EdgeflowError) as e:
        await rendered('{{ raise_exception("roles must alternate") }}')
    assert e.value.code == 'invalid-argument'
    assert 'roles must alternate' in e.value.message
