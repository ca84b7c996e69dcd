"""Tokenizers in JS: the library @huggingface/tokenizers, bundled. JS only.

It differs from the Rust library in some places; what can be mended from outside is mended here, so that both platforms
give the same ids and the same text (docs/tokenizer-differences.md says what and what is left). JavaScript's own regular
expressions and Unicode functions do the work, so most of this is raw JS.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.browser_parts import template_engine
from edgeflow.host.port import Bytes, TokenizedText

__pragma__('js', r'''
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { locateTokens } from './browser_offsets.js';

// U+03A3 is the one letter whose lower case depends on its place in JS; the Rust library lowers each letter alone.
const lower = text => text.replaceAll('\u03A3', '\u03C3').toLowerCase();

const HAN = /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;
const bertNormalize = config => text => {
  if (config.clean_text) {
    text = text.replace(/(?![\t\n\r])[\0\uFFFD\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu, '').replace(/\p{White_Space}/gu, ' ');
  }
  if (config.handle_chinese_chars) text = text.replace(HAN, ' $& ');
  if (config.strip_accents ?? config.lowercase) text = text.normalize('NFD').replace(/\p{Mn}/gu, '');
  return config.lowercase ? lower(text) : text;
};

// SentencePiece's compiled map (a Darts-clone double array, then the replacements, each ended by a zero byte).
const charsmap = config => {
  const bytes = Uint8Array.from(atob(config.precompiled_charsmap ?? ''), c => c.charCodeAt(0));
  if (bytes.length === 0) return text => text;
  const view = new DataView(bytes.buffer);
  const size = view.getUint32(0, true);
  const replacements = bytes.subarray(4 + size);
  const encoder = new TextEncoder(), decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const unit = i => view.getUint32(4 + 4 * i, true);
  const offset = u => (u >>> 10) << ((u & 512) >>> 6);
  const replaced = piece => {
    let node = offset(unit(0));
    for (const byte of encoder.encode(piece)) {
      if (byte === 0) return null;
      node ^= byte;
      if (4 * node >= size) return null;
      const found = unit(node);
      if ((found & 0x800000FF) !== byte) return null;
      node ^= offset(found);
      if ((found >>> 8) & 1) {
        const start = unit(node) & 0x7FFFFFFF;
        return decoder.decode(replacements.subarray(start, replacements.indexOf(0, start)));
      }
    }
    return null;
  };
  const segmenter = typeof Intl !== 'undefined' && Intl.Segmenter ? new Intl.Segmenter('und') : null;
  const letters = text => Array.from(text, c => replaced(c) ?? c).join('');
  return text => {
    if (/^[ -~]*$/.test(text) || segmenter === null) return letters(text);
    let out = '';
    for (const { segment } of segmenter.segment(text)) {
      const whole = segment.length > 1 && encoder.encode(segment).length < 6 ? replaced(segment) : null;
      out += whole ?? letters(segment);
    }
    return out;
  };
};

const NORMALIZERS = {
  BertNormalizer: bertNormalize,
  Lowercase: () => lower,
  Precompiled: charsmap,
};
const mendNormalizer = normalizer => {
  if (!normalizer) return;
  (normalizer.normalizers ?? []).forEach(mendNormalizer);
  const make = NORMALIZERS[normalizer.config?.type];
  if (make) normalizer.normalize = make(normalizer.config);
};

const NMT = [
  { type: 'Replace', pattern: { Regex: '[\\u0001-\\u0008\\u000B\\u000E-\\u001F\\u007F\\u008F\\u009F]' }, content: '' },
  { type: 'Replace', pattern: { Regex: '[\\u0009\\u000A\\u000C\\u000D\\u1680\\u200B-\\u200F\\u2028\\u2029\\u2581\\uFEFF\\uFFFD]' }, content: ' ' },
];
const withoutNmt = config => {
  if (config?.type === 'Nmt') return { type: 'Sequence', normalizers: NMT };
  if (config?.type === 'Sequence') return { ...config, normalizers: config.normalizers.map(withoutNmt) };
  return config;
};

// JS's \s has U+FEFF, which is no white space in Unicode, and lacks U+0085, which is.
const words = pattern => text => text.match(pattern) ?? [];
const PRE_TOKENIZERS = {
  BertPreTokenizer: () => words(/[^\p{White_Space}\p{P}!-\/:-@[-`{-~]+|[\p{P}!-\/:-@[-`{-~]/gu),
  Whitespace: () => words(/[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_C}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_C}\p{White_Space}]+/gu),
  WhitespaceSplit: () => words(/\P{White_Space}+/gu),
  Digits: config => words(config.individual_digits ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu),
};
const BYTE_LEVEL = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const mendPreTokenizer = (splitter, config) => {
  if (!splitter) return;
  const parts = splitter.tokenizers ?? [];
  parts.forEach((part, i) => mendPreTokenizer(part, config.pretokenizers[i]));
  const make = PRE_TOKENIZERS[config.type];
  if (make) splitter.pre_tokenize_text = make(config);
  if (config.type === 'ByteLevel') splitter.pattern = BYTE_LEVEL;
};

const byteFallback = () => tokens => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const out = [];
  let bytes = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      out.push(decoder.decode(Uint8Array.from(bytes)));
    } catch {
      out.push(...bytes.map(() => '\uFFFD'));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (byte) {
      bytes.push(parseInt(byte[1], 16));
    } else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
};

const tidy = text => text.replaceAll(' .', '.').replaceAll(' ?', '?').replaceAll(' !', '!').replaceAll(' ,', ',')
  .replaceAll(" ' ", "'").replaceAll(" n't", "n't").replaceAll(" 'm", "'m").replaceAll(' do not', " don't")
  .replaceAll(" 's", "'s").replaceAll(" 've", "'ve").replaceAll(" 're", "'re");
const ctc = config => tokens => tokens
  .filter((token, i) => token !== tokens[i - 1])
  .map(token => {
    const text = token.replaceAll(config.pad_token, '');
    return config.cleanup ? tidy(text).replaceAll(config.word_delimiter_token, ' ') : text;
  })
  .filter(text => text !== '');

const DECODERS = { ByteFallback: byteFallback, CTC: ctc };
const mendDecoder = decoder => {
  if (!decoder) return;
  decoder.end_of_word_suffix = null;
  (decoder.decoders ?? []).forEach(mendDecoder);
  const make = DECODERS[decoder.config?.type];
  if (make) decoder.decode_chain = make(decoder.config);
};

const text = bytes => new TextDecoder('utf-8', { fatal: true }).decode(bytes);

// The contents of tokenizer.json by its bytes, between parse_ahead() and load_tokenizer().
const ahead = new WeakMap();

// Maps as the plain objects that templates read.
const plain = value => {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([key, item]) => [key, plain(item)]));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
};

// The words of a model that was made with at most one of them. What JSON made of the vocabulary answers for ids, as the library's own Map
// of all words takes longer to make than the file to read; the words by their ids are listed when one is first asked for.
const addWords = (model, vocab) => {
  const added = model.tokens_to_ids;
  const get = word => added.get(word) ?? (Object.hasOwn(vocab, word) ? vocab[word] : undefined);
  model.tokens_to_ids = { get, has: word => get(word) !== undefined };
  let words;
  Object.defineProperty(model, 'vocab', {
    get() {
      if (!words) {
        words = [];
        for (const word of Object.keys(vocab)) words[vocab[word]] = word;
        added.forEach((id, word) => { words[id] = word; });
      }
      return words;
    },
  });
};

// The library's tokenizer for the two files, mended; the ids of special tokens; tokenizer.json without its model.
function openLibrary(tokenizerJson, tokenizerConfig) {
  const { model, ...settings } = ahead.get(tokenizerJson) ?? JSON.parse(text(tokenizerJson));
  ahead.delete(tokenizerJson);
  const config = tokenizerConfig == null ? {} : JSON.parse(text(tokenizerConfig));
  const { vocab, merges, ...described } = model;
  const listed = /^(WordPiece|BPE)$/.test(model.type), unknown = model.unk_token, few = unknown in vocab ? { [unknown]: vocab[unknown] } : {};
  const json = { ...settings, model: listed ? { ...model, vocab: few } : model, normalizer: withoutNmt(settings.normalizer) };
  const library = new LibraryTokenizer(json, { ...config, unk_token: model.unk_token ?? config.unk_token });
  if (listed) addWords(library.model, vocab);
  // What generates needs all words at its first token, where it would be waited for.
  if (model.type === 'BPE') library.id_to_token(0);
  mendNormalizer(library.normalizer);
  mendPreTokenizer(library.pre_tokenizer, settings.pre_tokenizer);
  mendDecoder(library.decoder);
  const special = new Set((settings.added_tokens ?? []).filter(token => token.special).map(token => token.id));
  return { library, special, settings: { ...settings, model: described } };
}
''')


def _failed(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


def _fail(message: str) -> EdgeflowError:
    return EdgeflowError('invalid-tokenizer', f'tokenizer.json: {message}')


class JsTokenizer:
    """host.port.TokenizerLibrary."""

    def __init__(self, opened: object) -> None:
        self._opened = opened

    def settings(self) -> dict[str, object]:
        return _settings(self._opened)

    def encode_text(self, text: str, with_offsets: bool) -> TokenizedText:
        if not with_offsets:
            return TokenizedText(_encode(self._opened, text))
        ids, offsets, words = _locate(self._opened, text)
        return TokenizedText(ids, offsets, words)

    def decode_ids(self, ids: list[int], skip_special_tokens: bool) -> str:
        return _decode(self._opened, ids, skip_special_tokens)

    def join_tokens(self, tokens: list[str]) -> str:
        return _join(self._opened, tokens)

    def token_id(self, token: str) -> int | None:
        return _token_id(self._opened, token)

    def token(self, token_id: int) -> str | None:
        return _token(self._opened, token_id)


def _open(tokenizer_json: Bytes, tokenizer_config: Bytes | None) -> object:
    __pragma__('js', r'''
    try {
      return openLibrary(tokenizerJson, tokenizerConfig);
    } catch (error) {
      throw _fail(error.message);
    }
    ''')


def _settings(opened: object) -> dict[str, object]:
    __pragma__('js', r'''
    const maps = value => {
      if (Array.isArray(value)) return value.map(maps);
      if (value === null || typeof value !== 'object') return value;
      return new Map(Object.keys(value).map(key => [key, maps(value[key])]));
    };
    return maps(opened.settings);
    ''')


def _encode(opened: object, text: str) -> list[int]:
    __pragma__('js', 'return opened.library.encode(text, { add_special_tokens: false }).ids;')


def _locate(opened: object, text: str) -> tuple[list[int], list[tuple[int, int]], list[int]]:
    __pragma__('js', 'return locateTokens(opened.library, opened.settings, text);')


def _join(opened: object, tokens: list[str]) -> str:
    __pragma__('js', "return opened.library.decoder ? opened.library.decoder(tokens) : tokens.join(' ');")


def _decode(opened: object, ids: list[int], skip_special_tokens: bool) -> str:
    __pragma__('js', r'''
    const { library, special } = opened;
    const known = ids.filter(id => library.id_to_token(id) !== undefined && !(skipSpecialTokens && special.has(id)));
    if (known.length === 0) return '';
    return library.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
    ''')


def _token_id(opened: object, token: str) -> int | None:
    __pragma__('js', 'return opened.library.token_to_id(token) ?? null;')


def _token(opened: object, token_id: int) -> str | None:
    __pragma__('js', 'return opened.library.id_to_token(tokenId) ?? null;')


def parse_ahead(tokenizer_json: Bytes) -> None:
    # What cannot be read is told by load_tokenizer(), which meets it again.
    __pragma__('js', r'''
    try {
      ahead.set(tokenizerJson, JSON.parse(text(tokenizerJson)));
    } catch {
      return;
    }
    ''')


def load_tokenizer(tokenizer_json: Bytes, tokenizer_config: Bytes | None) -> JsTokenizer:
    return JsTokenizer(_open(tokenizer_json, tokenizer_config))


async def render_template(template: str, variables: dict[str, object]) -> str:
    return _rendered(await template_engine(), template, variables)


def _rendered(jinja: object, template: str, variables: dict[str, object]) -> str:
    __pragma__('js', r'''
    let program;
    try {
      program = jinja.compile(template);
    } catch (error) {
      throw _failed('invalid-tokenizer', `the chat template is no Jinja: ${error.message}`);
    }
    try {
      return jinja.render(program, plain(variables));
    } catch (error) {
      throw _failed('invalid-argument', `the chat template refuses the messages: ${error.message}`);
    }
    ''')


def joins(before: str, after: str) -> bool:
    __pragma__('js', r'''
    if (/^[\p{M}\u200D\u{1F3FB}-\u{1F3FF}\u{E0020}-\u{E007F}]/u.test(after) || before.endsWith('\u200D')) return true;
    const flags = /[\u{1F1E6}-\u{1F1FF}]+$/u.exec(before);
    return flags !== null && flags[0].length % 4 === 2 && /^[\u{1F1E6}-\u{1F1FF}]/u.test(after);
    ''')


# Not [\p{L}\p{S}...]$: Chromium 153 does not find characters beyond U+FFFF by such a class at the end of a text.
def may_be_joined(text: str) -> bool:
    __pragma__('js', r"return /(?:\p{L}|\p{M}|\p{S}|\p{N}|\u200D)$/u.test(text);")
