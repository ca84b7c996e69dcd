// str(), repr(), format() and the methods of strings.
import { $eq, $isDict, $isList, $isNumber, $isSet, $isStr, $isView, $iter, $part, $record } from './core.js';
import { $raise, UnicodeDecodeError, ValueError } from './errors.js';

/** Python's text of a number: repr's digits, exponent from 1e16 up and below 1e-4; integers in full. */
export const $number = (x) => {
  if (Number.isInteger(x)) return Math.abs(x) < 1e21 ? String(x) : String(BigInt(x));
  if (x !== x) return 'nan';
  if (!Number.isFinite(x)) return x < 0 ? '-inf' : 'inf';
  return Math.abs(x) < 1e-4 ? x.toExponential().replace(/e([+-])(\d)$/, 'e$10$2') : String(x);
};

export const $str = (x) => {
  if ($isStr(x)) return x;
  if ($isNumber(x)) return $number(x);
  if (x instanceof Error) return x.__str__ ? x.__str__() : x.message;
  return x?.__str__ ? x.__str__() : $repr(x);
};

export const $repr = (x) => {
  if (x == null) return 'None';
  switch (typeof x) {
    case 'string': return quoted(x);
    case 'number': return $number(x);
    case 'boolean': return x ? 'True' : 'False';
    case 'bigint': return String(x);
    case 'function': return `<function ${x.name}>`;
  }
  if (x.__repr__) return x.__repr__();
  if ($isList(x)) return `[${x.map($repr).join(', ')}]`;
  if ($isDict(x)) return `{${[...x].map(([k, v]) => `${$repr(k)}: ${$repr(v)}`).join(', ')}}`;
  if ($isSet(x)) return x.size ? `{${[...x].map($repr).join(', ')}}` : 'set()';
  if (x instanceof Uint8Array) return `b${quoted(Array.from(x, (byte) => String.fromCharCode(byte)).join(''))}`;
  const record = $record(x);
  if (record?.name) return `${record.name}(${record.names.map((name, i) => `${name}=${$repr(x[record.keys[i]])}`).join(', ')})`;
  if (x instanceof Error) return `${x.name}(${(x.args ?? [x.message]).map($repr).join(', ')})`;
  return `<${$typeName(x)} object>`;
};

const quoted = (text) => {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text.replace(/[\\\x00-\x1f\x7f-\xa0\xad]/g, (c) => {
    const known = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }[c];
    return known ?? `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return mark + (mark === "'" ? body.replaceAll("'", "\\'") : body) + mark;
};

export const $typeName = (x) => {
  if (x == null) return 'NoneType';
  if ($isNumber(x)) return Number.isInteger(x) ? 'int' : 'float';
  if (x instanceof Error) return x.name;
  const names = { String: 'str', Boolean: 'bool', Array: 'list', Map: 'dict', Set: 'set', Uint8Array: 'bytes', Function: 'function' };
  const name = $record(x)?.name || (x.constructor?.name ?? 'object');
  return names[name] ?? name;
};

/** toFixed with Python's rounding: exact halves go to the even digit. */
export const $fixed = (x, digits) => {
  if (!Number.isFinite(x)) return $number(x);
  if (Math.abs(x) >= 1e21) return String(BigInt(x)) + (digits ? '.' + '0'.repeat(digits) : '');
  const text = x.toFixed(digits);
  if (digits > 80 || Number.isInteger(x)) return Object.is(x, -0) ? '-' + text : text;
  const exact = x.toFixed(100);
  const point = exact.indexOf('.');
  const cut = exact.slice(0, point + 1 + digits).replace(/\.$/, '');
  const negativeZero = x < 0 && !text.startsWith('-') ? '-' : '';
  const isTie = /^50*$/.test(exact.slice(point + 1 + digits));
  return isTie && '02468'.includes(cut.at(-1)) ? cut : negativeZero + text;
};

const exponential = (x, digits) => {
  let text = x.toExponential(digits);
  const exact = x.toExponential(Math.min(100, digits + 40));
  const [mantissa] = exact.split('e');
  const tail = mantissa.slice(mantissa.indexOf('.') + 1 + digits);
  const kept = mantissa.slice(0, mantissa.indexOf('.') + (digits ? 1 + digits : 0));
  if (/^50*$/.test(tail) && '02468'.includes(kept.at(-1))) text = `${kept}e${exact.split('e')[1]}`;
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
};

const general = (x, precision, alternate) => {
  if (!Number.isFinite(x)) return $number(x);
  const p = precision === 0 ? 1 : precision ?? 6;
  const power = x === 0 ? 0 : Number(exponential(x, p - 1).split('e')[1]);
  const trim = (text) => (alternate || !text.includes('.') ? text : text.replace(/\.?0+$/, ''));
  if (power < -4 || power >= p) {
    const [mantissa, exponent] = exponential(x, p - 1).split('e');
    return `${trim(mantissa)}e${exponent}`;
  }
  return trim($fixed(x, p - 1 - power));
};

const SPEC = /^(?:(.)?([<>=^]))?([+\- ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/su;

export const $format = (x, spec = '') => {
  const match = SPEC.exec(spec);
  if (!match) $raise(new ValueError(`Invalid format specifier ${$repr(spec)}`));
  if (spec === '') return $str(x);
  let [, fill, align, sign, alternate, zero, width, group, precision, type] = match;
  const digits = precision === undefined ? undefined : Number(precision);
  let body, prefix = '';
  if ($isStr(x) || x == null || typeof x === 'object' || typeof x === 'boolean' && !type && !precision) {
    body = $str(x);
    if (digits !== undefined) body = [...body].slice(0, digits).join('');
    align ??= '<';
  } else {
    const value = Number(x), size = Math.abs(value);
    const negative = value < 0 || Object.is(value, -0) && type && 'eEfFgG%'.includes(type);
    switch (type) {
      case 'b': case 'o': case 'x': case 'X': {
        const radix = { b: 2, o: 8, x: 16 }[type.toLowerCase()];
        body = size.toString(radix);
        if (alternate) prefix = `0${type}`;
        if (type === 'X') body = body.toUpperCase();
        break;
      }
      case 'c': body = String.fromCodePoint(value); break;
      case 'e': case 'E': body = Number.isFinite(size) ? exponential(size, digits ?? 6) : $number(size); break;
      case 'f': case 'F': body = $fixed(size, digits ?? 6); break;
      case '%': body = `${$fixed(size * 100, digits ?? 6)}%`; break;
      case 'g': case 'G': case 'n': body = general(size, digits, alternate); break;
      default: body = digits === undefined ? $number(size) : generalFloat(size, digits);
    }
    if (type === 'E' || type === 'G' || type === 'F') body = body.toUpperCase();
    if (group) body = grouped(body, group, 'boxX'.includes(type ?? 'd') ? 4 : 3);
    prefix = (negative ? '-' : sign === '+' || sign === ' ' ? sign : '') + prefix;
    if (zero && !align) {
      align = '=';
      fill = '0';
      if (group) {
        while (prefix.length + body.length < Number(width ?? 0)) {
          const longer = grouped('0' + body.replaceAll(group, ''), group, 3);
          if (prefix.length + longer.length > Number(width) && longer.length - body.length > 1) {
            body = longer;
            break;
          }
          body = longer;
        }
      }
    }
    align ??= '>';
  }
  if (zero && fill === undefined) fill = '0';
  const missing = Number(width ?? 0) - [...prefix, ...body].length;
  if (missing <= 0) return prefix + body;
  const pad = (n) => (fill ?? ' ').repeat(n);
  if (align === '=') return prefix + pad(missing) + body;
  if (align === '<') return prefix + body + pad(missing);
  if (align === '^') return pad(Math.floor(missing / 2)) + prefix + body + pad(Math.ceil(missing / 2));
  return pad(missing) + prefix + body;
};

const signed = (x, text) => (x < 0 || Object.is(x, -0) ? '-' : '') + text;
/** f'{x:.3f}' and f'{x:.3g}' */
export const $formatFixed = (x, digits) => signed(x, $fixed(Math.abs(x), digits));
/** f'{x:04d}' and f'{x:02x}' of an int */
export const $formatZeros = (x, width, radix = 10) => (x < 0 ? '-' : '') + Math.abs(x).toString(radix).padStart(x < 0 ? width - 1 : width, '0');
export const $formatGeneral = (x, digits) => signed(x, general(Math.abs(x), digits));

/** A precision without a type: like 'g', but at least one digit after the point when not an integer. */
const generalFloat = (x, digits) => {
  return general(x, digits);
};

const grouped = (text, separator, size) => {
  const match = /^([0-9a-fA-F]+)(.*)$/s.exec(text);
  if (!match) return text;
  return match[1].replace(new RegExp(`\\B(?=([0-9a-fA-F]{${size}})+$)`, 'g'), separator) + match[2];
};

export const $ord = (c) => {
  if ([...c].length !== 1) $raise(new TypeError(`ord() expected a character, but ${$repr(c)} found`));
  return c.codePointAt(0);
};

export const $chr = (n) => {
  if (!(n >= 0 && n < 0x110000)) $raise(new ValueError('chr() arg not in range(0x110000)'));
  return String.fromCodePoint(n);
};

export const $print = (...items) => {
  console.log(items.map($str).join(' '));
};

// -- methods: each works on a string and passes on to an object that has a method of that name ------------------------

const SPACE = '\\s\\x1c-\\x1f\\x85';
const escaped = (chars) => chars.replace(/[\\\]^-]/g, '\\$&');

export const $m_strip = (s, chars) => $isStr(s) ? $m_rstrip($m_lstrip(s, chars), chars) : s.strip(chars);
export const $m_lstrip = (s, chars) => chars === '' ? s : s.replace(new RegExp(`^[${chars == null ? SPACE : escaped(chars)}]+`, 'u'), '');
export const $m_rstrip = (s, chars) => {
  if (chars === '') return s;
  const inside = new RegExp(`[${chars == null ? SPACE : escaped(chars)}]`, 'u');
  let end = s.length;
  while (end > 0) {
    const size = end > 1 && s.charCodeAt(end - 1) >> 10 === 55 && s.charCodeAt(end - 2) >> 10 === 54 ? 2 : 1;
    if (!inside.test(s.slice(end - size, end))) break;
    end -= size;
  }
  return s.slice(0, end);
};

export const $m_startswith = (s, prefix, from) => {
  if (!$isStr(s) && !$isView(s)) return s.startswith(prefix, from);
  if ($isList(prefix)) return prefix.some((p) => $m_startswith(s, p, from));
  return $isStr(s) ? s.startsWith(prefix, from ?? 0) : $eq(s.subarray(from ?? 0, (from ?? 0) + prefix.length), prefix);
};
export const $m_endswith = (s, suffix) => {
  if ($isList(suffix)) return suffix.some((p) => $m_endswith(s, p));
  return $isStr(s) ? s.endsWith(suffix) : $eq(s.subarray(Math.max(0, s.length - suffix.length)), suffix);
};

/** s.split(sep, limit) of a string at a separator. */
export const $splitAt = (s, sep, limit) => {
  if (sep === '') $raise(new ValueError('empty separator'));
  const parts = s.split(sep);
  return limit < 0 || parts.length <= limit + 1 ? parts : [...parts.slice(0, limit), parts.slice(limit).join(sep)];
};

export const $m_split = (s, sep, limit = -1) => {
  if (!$isStr(s)) return s.split(sep, limit);
  if (sep == null) {
    const text = $m_lstrip(s);
    if (limit < 0) return text === '' ? [] : $m_rstrip(text).split(new RegExp(`[${SPACE}]+`, 'u'));
    const out = [];
    let rest = text;
    while (rest !== '' && out.length < limit) {
      const match = new RegExp(`[${SPACE}]+`, 'u').exec(rest);
      if (!match) break;
      out.push(rest.slice(0, match.index));
      rest = rest.slice(match.index + match[0].length);
    }
    if (rest !== '') out.push(out.length < limit ? $m_rstrip(rest) : rest);
    return out;
  }
  return $splitAt(s, sep, limit);
};
export const $m_rsplit = (s, sep, limit = -1) => {
  if (sep == null) {
    const parts = $m_split(s);
    if (limit < 0 || parts.length <= limit) return parts;
    let rest = $m_rstrip(s);
    const out = [];
    while (out.length < limit) {
      const word = parts.at(-1 - out.length);
      out.unshift(word);
      rest = $m_rstrip(rest.slice(0, rest.length - word.length));
    }
    return [rest, ...out];
  }
  if (sep === '') $raise(new ValueError('empty separator'));
  const out = [];
  for (let end = s.length; ;) {
    const at = out.length === limit || end < sep.length ? -1 : s.lastIndexOf(sep, end - sep.length);
    out.unshift(s.slice(at < 0 ? 0 : at + sep.length, end));
    if (at < 0) return out;
    end = at;
  }
};
export const $m_splitlines = (s, keep) => {
  const lines = s.match(/[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])|[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+$/g) ?? [];
  return keep ? [...lines] : lines.map((line) => line.replace(/(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])$/, ''));
};

export const $m_join = (s, items) => {
  if ($isStr(s)) return [...$iter(items)].join(s);
  if (!$isView(s)) return s.join(items);
  const parts = [...$iter(items)];
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, s.length * Math.max(0, parts.length - 1)));
  let at = 0;
  parts.forEach((part, i) => {
    if (i > 0) { out.set(s, at); at += s.length; }
    out.set(part, at);
    at += part.length;
  });
  return out;
};

export const $m_lower = (s) => $isStr(s) ? s.toLowerCase() : s.lower();
export const $m_upper = (s) => $isStr(s) ? s.toUpperCase() : s.upper();
export const $m_casefold = (s) => s.toLowerCase().replaceAll('ß', 'ss');
export const $m_title = (s) => s.replace(/\p{L}+/gu, (word) => word[0].toUpperCase() + word.slice(1).toLowerCase());
export const $m_capitalize = (s) => s === '' ? s : s[0].toUpperCase() + s.slice(1).toLowerCase();

export const $m_replace = (s, from, to, count = -1) => {
  if (!$isStr(s)) return s.replace(from, to, count);
  if (count < 0) return s.replaceAll(from, () => to);
  let left = count;
  return s.replaceAll(from, () => (left-- > 0 ? to : from));
};
const within = (s, from, to) => {
  return to == null ? s : $part(s, 0, to);
};
export const $m_find = (s, x, from, to) => {
  if ($isStr(s) || $isView(s)) {
    const start = from == null ? 0 : from < 0 ? Math.max(0, from + s.length) : from;
    if ($isStr(s)) return start > s.length ? -1 : within(s, 0, to).indexOf(x, start);
    for (let i = start; i + x.length <= (to ?? s.length); i++) if ($eq(s.subarray(i, i + x.length), x)) return i;
    return -1;
  }
  return s.find(x, from, to);
};
export const $m_rfind = (s, x, from, to) => {
  const found = within(s, 0, to).lastIndexOf(x);
  return found >= (from ?? 0) ? found : -1;
};
export const $m_rindex = (s, x) => {
  const found = s.lastIndexOf(x);
  if (found < 0) $raise(new ValueError('substring not found'));
  return found;
};
export const $m_partition = (s, sep) => {
  const at = s.indexOf(sep);
  return at < 0 ? [s, '', ''] : [s.slice(0, at), sep, s.slice(at + sep.length)];
};
export const $m_rpartition = (s, sep) => {
  const at = s.lastIndexOf(sep);
  return at < 0 ? ['', '', s] : [s.slice(0, at), sep, s.slice(at + sep.length)];
};
export const $m_removeprefix = (s, p) => s.startsWith(p) ? s.slice(p.length) : s;
export const $m_removesuffix = (s, p) => p !== '' && s.endsWith(p) ? s.slice(0, -p.length) : s;
export const $m_zfill = (s, n) => {
  const sign = /^[+-]/.test(s) ? s[0] : '';
  return sign + s.slice(sign.length).padStart(n - sign.length, '0');
};
export const $m_ljust = (s, n, c = ' ') => s.padEnd(n, c);
export const $m_rjust = (s, n, c = ' ') => s.padStart(n, c);
export const $m_center = (s, n, c = ' ') => {
  const missing = Math.max(0, n - s.length), left = (missing >> 1) + (missing & n & 1);
  return c.repeat(left) + s + c.repeat(missing - left);
};

const every = (s, pattern) => s !== '' && new RegExp(`^[${pattern}]+$`, 'u').test(s);
export const $m_isdigit = (s) => every(s, '\\p{Nd}²³¹⁰⁴-⁹₀-₉');
export const $m_isdecimal = (s) => every(s, '\\p{Nd}');
export const $m_isnumeric = (s) => every(s, '\\p{N}');
export const $m_isalpha = (s) => every(s, '\\p{L}');
export const $m_isalnum = (s) => every(s, '\\p{L}\\p{N}');
export const $m_isspace = (s) => every(s, SPACE);
export const $m_isupper = (s) => /\p{Lu}/u.test(s) && !/\p{Ll}|\p{Lt}/u.test(s);
export const $m_islower = (s) => /\p{Ll}/u.test(s) && !/\p{Lu}|\p{Lt}/u.test(s);
export const $m_isascii = (s) => /^[\0-\x7f]*$/.test(s);

// -- bytes -------------------------------------------------------------------------------------------------------------

export const $m_encode = (s, encoding) => {
  if (!$isStr(s)) return s.encode(encoding);
  return new TextEncoder().encode(s);
};
export const $m_decode = (data, encoding = 'utf-8', errors = 'strict') => {
  if (!$isView(data)) return data.decode(encoding, errors);
  if (/ascii|latin/.test(encoding)) return Array.from(data, (byte) => String.fromCharCode(byte)).join('');
  try {
    return new TextDecoder(encoding, { fatal: errors === 'strict', ignoreBOM: true }).decode(data);
  } catch (error) {
    $raise(new UnicodeDecodeError(`invalid ${encoding} data`));
  }
};
export const $m_hex = (data) => $isView(data) ? Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join('') : data.hex();
export const $m_tobytes = (data) => $isView(data) ? data.slice() : data.tobytes();
export const $fromHex = (text) => Uint8Array.from(text.match(/[0-9a-fA-F]{2}/g) ?? [], (pair) => parseInt(pair, 16));
export const $bytes = (x, encoding) => {
  if ($isNumber(x)) return new Uint8Array(x);
  if ($isStr(x)) return $m_encode(x, encoding);
  if ($isView(x)) return new Uint8Array(x);
  const values = [...$iter(x)];
  if (values.some((value) => !(value >= 0 && value < 256))) $raise(new ValueError('bytes must be in range(0, 256)'));
  return Uint8Array.from(values);
};

