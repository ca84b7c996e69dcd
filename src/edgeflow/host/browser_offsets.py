"""Where tokens are in a text, in JS, whose tokenizer library does not say. JS only.

The library's steps are done one by one: what its normalizer makes of each character gives the way back to the text, and
each word of its pre-tokenizer goes through the model alone, so that its tokens are known to be in it.
"""

from __future__ import annotations

__pragma__('js', r'''
// exports: locate_tokens
// GPT-2's characters for bytes, in the order of bytes that have none of their own.
const BYTES = new Map();
for (let byte = 0, extra = 256; byte < 256; ++byte) {
  const own = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  BYTES.set(String.fromCharCode(own ? byte : extra++), byte);
}
const isSpace = c => c !== undefined && (c === '\u2581' || /^\p{White_Space}/u.test(c));
const hasType = (config, type) => config != null && (config.type === type
  || [...config.pretokenizers ?? [], ...config.processors ?? []].some(part => hasType(part, type)));
const find = (config, test) => config == null ? null : test(config) ? config
  : (config.processors ?? []).map(part => find(part, test)).find(part => part !== null) ?? null;

// The normalized section; spans[i] is where its unit i comes from, as [start, end] in the text. What is composed of several letters
// comes from the first of them; what the normalizer adds, from the letter after it; of white space that it makes one, from the last.
function normalized(library, section, base) {
  const normalize = text => library.normalizer === null ? text : library.normalizer(text);
  const normal = normalize(section), spans = [];
  const prepends = normalize('a') === '\u2581a';
  const alone = text => prepends && !isSpace(text) ? normalize(text).slice(1) : normalize(text);
  const put = (count, start, end) => { for (let i = 0; i < count; ++i) spans.push([base + start, base + end]); };
  for (const { 0: cluster, index } of section.matchAll(/\P{M}\p{M}*|\p{M}+/gu)) {
    const whole = alone(cluster), letters = [...cluster], made = letters.map(alone), composed = [...whole];
    const skipped = letters.length - composed.length;
    let start = index;
    letters.forEach((letter, i) => {
      const end = start + letter.length, at = spans.length;
      let text = made[i];
      if (made.join('') !== whole) {
        text = skipped < 0 ? (i === 0 ? whole : '') : i === 0 ? composed[0] ?? '' : i > skipped ? composed[i - skipped] : '';
      }
      if (text !== '' && normal.startsWith(text, at)) {
        put(text.length, start, end);
      } else if (isSpace(letter)) {
        if (isSpace(normal[at]) && text !== '') put(1, start, end);
        else if (at > 0 && isSpace(normal[at - 1])) spans[at - 1] = [base + start, base + end];
      } else {
        const core = text.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, ''), found = normal.indexOf(core, at);
        if (core !== '' && found >= 0 && found < at + 8) put(found + core.length - at, start, end);
      }
      start = end;
    });
  }
  put(normal.length - spans.length, section.length, section.length);
  return [normal, spans];
}

// Where each unit of a word is: [spans, where to go on].
function place(word, normal, spans, from, end, splitsAtSpace) {
  const found = [];
  let at = from;
  for (const letter of word) {
    if (!normal.startsWith(letter, at)) {
      let ahead = at;
      while (isSpace(normal[ahead])) ++ahead;
      if (!isSpace(letter)) at = ahead;
      else if (!isSpace(normal[at]) || splitsAtSpace) {
        found.push(spans[ahead] ?? [end, end]);
        continue;
      }
    }
    for (let i = 0; i < letter.length; ++i) found.push(spans[Math.min(at + i, spans.length - 1)] ?? [end, end]);
    at += isSpace(letter) ? 1 : letter.length;
  }
  return [found, at];
}

// Which units of a word each of its tokens has, as [from, to].
function cutWord(tokens, word, isBytes, model) {
  const prefix = model.continuing_subword_prefix ?? '', suffix = model.end_of_word_suffix ?? '';
  const bare = (token, i) => {
    if (suffix !== '' && token.endsWith(suffix)) token = token.slice(0, -suffix.length);
    return prefix !== '' && i > 0 && token.startsWith(prefix) ? token.slice(prefix.length) : token;
  };
  const owner = [];
  for (let i = 0; i < word.length;) {
    const letter = String.fromCodePoint(word.codePointAt(i));
    for (let n = new TextEncoder().encode(letter).length; n > 0; --n) owner.push([i, i + letter.length]);
    i += letter.length;
  }
  const last = owner[owner.length - 1] ?? [0, 0];
  let at = 0;
  return tokens.map((token, i) => {
    const text = bare(token, i);
    if (isBytes || /^<0x[0-9A-F]{2}>$/.test(token)) {
      const bytes = isBytes ? text.length : 1, from = owner.findIndex(span => span[0] >= at);
      const first = isBytes ? at : from < 0 ? 0 : from;
      at += isBytes ? bytes : 0;
      const taken = owner.slice(first, first + bytes);
      if (!isBytes) {
        const rest = tokens.slice(i + 1).findIndex(next => !/^<0x/.test(next));
        const left = rest < 0 ? tokens.length - i : rest + 1;
        if (taken.length > 0 && isLastByte(tokens, i, left)) at = taken[0][1];
      }
      return taken.length === 0 ? last : [taken[0][0], taken[taken.length - 1][1]];
    }
    const known = word.startsWith(text, at);
    const next = i + 1 < tokens.length ? word.indexOf(bare(tokens[i + 1], i + 1), at + 1) : word.length;
    const to = known ? at + text.length : next < 0 ? Math.min(at + 1, word.length) : next;
    const span = [at, to];
    at = to;
    return span;
  });
}
const isLastByte = (tokens, i, left) => left === 1 || (parseInt(tokens[i + 1].slice(3, 5), 16) & 0xC0) !== 0x80;

// The tokens of a text as [ids, offsets, words].
export function locateTokens(library, settings, text) {
  const ids = [], offsets = [], words = [];
  const isBytes = hasType(settings.pre_tokenizer, 'ByteLevel'), splitsAtSpace = hasType(settings.pre_tokenizer, 'WhitespaceSplit');
  const splitsAtMark = hasType(settings.pre_tokenizer, 'Metaspace');
  const trims = find(settings.post_processor, part => part.trim_offsets) !== null;
  const { model } = settings, unknown = library.model.unk_token_id;
  const idOf = token => library.added_tokens_map.get(token)?.id ?? library.model.tokens_to_ids.get(token) ?? unknown;
  let word = 0;
  const add = (id, start, end) => {
    while (trims && start < end && isSpace(text[start])) ++start;
    while (trims && end > start && isSpace(text[end - 1])) --end;
    const before = ids.length - 1;
    if (library.model.fuse_unk && id === unknown && ids[before] === unknown && offsets[before][1] === start) {
      offsets[before][1] = end;
      return;
    }
    ids.push(id);
    offsets.push([start, end]);
    words.push(word);
  };
  // As the library splits: pieces that are added tokens, and what is between them.
  const pieces = (splitter, whole) => {
    const sections = splitter.split(whole);
    let start = 0;
    const placed = sections.map(section => ({ section, start: (start += section.length) - section.length }));
    placed.forEach(({ section }, i) => {
      const added = library.added_tokens_map.get(section);
      if (added?.lstrip && i > 0) placed[i - 1].section = placed[i - 1].section.trimEnd();
      if (added?.rstrip && i + 1 < placed.length) {
        const next = placed[i + 1], cut = next.section.trimStart();
        next.start += next.section.length - cut.length;
        next.section = cut;
      }
    });
    return placed;
  };
  pieces(library.splitter_unnormalized, text).forEach(({ section, start }, sectionIndex) => {
    if (section === '') return;
    if (library.added_tokens_map.has(section)) {
      add(idOf(section), start, start + section.length);
      ++word;
      return;
    }
    const end = start + section.length;
    const [normal, spans] = normalized(library, section, start);
    for (const part of pieces(library.splitter_normalized, normal)) {
      if (part.section === '') continue;
      if (library.added_tokens_map.has(part.section)) {
        add(idOf(part.section), spans[part.start][0], spans[part.start + part.section.length - 1][1]);
        ++word;
        continue;
      }
      let at = part.start;
      const split = library.pre_tokenizer === null ? [part.section] : library.pre_tokenizer(part.section, { section_index: sectionIndex });
      for (const piece of split) {
        const plain = isBytes ? new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(piece, c => BYTES.get(c))) : piece;
        const [units, next] = place(plain, normal, spans, at, end, splitsAtSpace);
        const tokens = library.model([piece]);
        cutWord(tokens, plain, isBytes, model).forEach(([from, to], i) => {
          if (i > 0 && splitsAtMark && tokens[i].startsWith('\u2581')) ++word;
          const here = units[from]?.[0] ?? units[units.length - 1]?.[1] ?? start;
          add(idOf(tokens[i]), here, to > from ? units[Math.min(to, units.length) - 1][1] : here);
        });
        at = next;
        ++word;
      }
    }
  });
  return [ids, offsets, words];
}
''')
