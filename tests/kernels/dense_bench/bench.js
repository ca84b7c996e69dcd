// Runs in the page: times one-step tapes, every binary in turn.
const bits = x => new Int32Array(new Float32Array([x]).buffer)[0];
const up = (a, b) => Math.ceil(a / b);

function random(i) {
  return ((Math.imul(i + 1, 2654435761) >>> 9) / 8388608 - 0.5) * 2;
}

// Each case: its name, floating-point operations of one run, what lays out memory and gives kernel and words, and [word, size]: the
// float32 result, which must agree between all binaries (exactly where `exact` is set).
function cases() {
  const list = [];
  const act = { none: 0, gelu: 2 };
  const gemm = (M, K, N, a) => list.push({
    case: `f32 ${M}x${K}x${N}${a ? ' ' + a : ''}`, flops: 2 * M * N * K, result: [2, M * N],
    words: h => {
      const B = h.floats(K * N), P = h.room(32 * up(N, 8) * K), L = h.room(up(up(N, 8) * K, 2)), A = h.floats(M * K), C = h.room(4 * M * N), bias = h.floats(N);
      h.step('pack_f32', [B, P, K, N, N, 1, L]);
      return ['gemm_f32', [A, P, C, bias, 0, M, N, K, K, N, 0, bits(1), act[a || 'none'], L]];
    },
  });
  const int8 = (M, K, N, range) => list.push({
    case: `${range === 64 ? 'i7 ' : 'i8 '} ${M}x${K}x${N}`, flops: 2 * M * N * K, result: [12, M * N], exact: true,
    words: h => {
      const B = h.bytes(K * N, range), P = h.room(4 * up(N, 8) * (64 + 8 * up(K, 4))), A = h.bytes(M * K, 128), C = h.room(4 * M * N);
      const bias = h.floats(N), scale = h.floats(N), one = h.floats(1), zp = h.bytes(1, 128), S = h.room(M * (12 * up(K, 4) + 8));
      h.step('pack_i8', [B, P, K, N, N, 1, 3]);
      return ['gemm_i8', [A, 2, one, zp, P, 3, scale, N, 0, 1, bias, 0, C, M, N, K, 0, S]];
    },
  });
  const nbits = (M, K, N, b, block, codes = 0) => list.push({
    case: `q${b} ${M}x${K}x${N}${codes ? ' codes' : ''}`, flops: 2 * M * N * K, result: [2, M * N],
    words: h => {
      const blocks = up(K, block);
      const B = h.bytes(N * blocks * block * b / 8, 128), s = h.floats(N * blocks), P = h.room(up(N, 8) * blocks * (64 + block * b));
      const A = h.floats(M * K), C = h.room(4 * M * N), S = h.room(blocks * Math.max(32 * block, M * (block + 8)));
      h.step('pack_nbits', [B, s, 0, P, N, K, block, b, 0]);
      return ['gemm_nbits', [A, P, C, 0, 0, M, N, K, K, N, 0, block, b, 0, S, 0, codes]];
    },
  });
  const sdpa = (B, H, S, D) => list.push({
    case: `sdpa ${B}x${H}x${S}x${D}`, flops: 4 * B * H * S * S * D, result: [4, B * H * S * D],
    words: h => {
      const E = H * D, n = B * S * E, st = [S * E, D, E, 1];
      const q = h.floats(n), k = h.floats(n), v = h.floats(n), o = h.room(4 * n), m = h.floats(B * S), R = Math.min(S, 48);
      const scratch = h.room(4 * (8 * up(S, 8) * D + 8 * up(D, 8) * S + R * (8 * up(S, 8) + D + 8 * up(D, 8))));
      return ['sdpa_f32', [q, k, v, m, o, B, H, S, S, D, D, 1, ...st, ...st, ...st, ...st, S, 0, 0, 1, 1, 0, bits(0.17), 0, 0, 0, 0, scratch]];
    },
  });
  const row = (name, per, words) => list.push({ case: name, flops: per, words });
  for (const M of [1, 8, 32, 128, 1024]) for (const [K, N] of [[384, 384], [384, 1536], [1536, 384]]) gemm(M, K, N);
  gemm(32, 384, 1152);
  gemm(32, 384, 1536, 'gelu');
  for (const range of [64, 128]) for (const M of [1, 32, 1024]) for (const [K, N] of [[384, 384], [384, 1536], [1536, 384]]) int8(M, K, N, range);
  row('pack_f32 384x1536 (Gelem/s)', 384 * 1536, h => ['pack_f32', [h.floats(384 * 1536), h.room(4 * 384 * 1536), 384, 1536, 1536, 1, 0]]);
  row('pack_f32 transposed (Gelem/s)', 384 * 1536, h => ['pack_f32', [h.floats(384 * 1536), h.room(4 * 384 * 1536), 384, 1536, 1, 384, 0]]);
  for (const r of [64, 128]) row(`pack_i8 384x1536 range ${r} (Gelem/s)`, 384 * 1536, h => ['pack_i8', [h.bytes(384 * 1536, r), h.room(4 * 192 * (64 + 768)), 384, 1536, 1536, 1, 3]]);
  row('pack_i8 transposed (Gelem/s)', 384 * 1536, h => ['pack_i8', [h.bytes(384 * 1536, 64), h.room(4 * 192 * (64 + 768)), 384, 1536, 1, 384, 3]]);
  for (const M of [1, 32]) for (const b of [4, 8]) nbits(M, 768, 768, b, 32);
  for (const M of [1, 32]) nbits(M, 768, 768, 4, 32, 1);
  sdpa(1, 12, 32, 32);
  sdpa(32, 12, 32, 32);
  sdpa(1, 12, 512, 32);
  row('layer_norm 32x384 (Gelem/s)', 32 * 384, h => {
    const x = h.floats(32 * 384), g = h.floats(384), y = h.room(4 * 32 * 384);
    return ['layer_norm_f32', [x, x, 0, g, g, y, 0, 32, 384, 32, bits(1e-12)]];
  });
  row('gelu 32x1536 (Gelem/s)', 32 * 1536, h => {
    const x = h.floats(32 * 1536), y = h.room(4 * 32 * 1536);
    return ['activation_f32', [2, x, 0, y, 32 * 1536, 0]];
  });
  row('quantize 32x1536 (Gelem/s)', 32 * 1536, h => {
    const x = h.floats(32 * 1536), y = h.room(32 * 1536), s = h.room(4), z = h.room(1);
    return ['quantize_dynamic', [x, y, s, z, 32 * 1536]];
  });
  return list;
}

class Heap {
  constructor(exports) {
    this.x = exports;
    this.top = exports.__heap_base.value;
    this.numbers = {};
    const data = new Uint8Array(exports.memory.buffer);
    for (let at = exports.kernel_names(), n = 0; data[at]; n++) {
      let end = at;
      while (data[end]) end++;
      this.numbers[String.fromCharCode(...data.subarray(at, end))] = n;
      at = end + 1;
    }
  }
  room(size) {
    const at = (this.top + 63) & ~63;
    this.top = at + size + 64;
    const missing = this.top - this.x.memory.buffer.byteLength;
    if (missing > 0) this.x.memory.grow(up(missing, 65536));
    return at;
  }
  floats(n) {
    const at = this.room(4 * n), view = new Float32Array(this.x.memory.buffer, at, n);
    for (let i = 0; i < n; i++) view[i] = random(i);
    return at;
  }
  bytes(n, range) {
    const at = this.room(n), view = new Int8Array(this.x.memory.buffer, at, n);
    for (let i = 0; i < n; i++) view[i] = Math.floor(random(i) * range);
    return at;
  }
  tape(name, words, times) {
    const one = [this.numbers[name], words.length, ...words], at = this.room(4 * one.length * times);
    for (let i = 0; i < times; i++) new Int32Array(this.x.memory.buffer, at + 4 * one.length * i, one.length).set(one);
    return [at, one.length * times];
  }
  step(name, words) {
    const code = this.x.run_tape(...this.tape(name, words, 1));
    if (code) throw new Error(`${name}: ${code}`);
  }
}

async function denseBench(binaries, rounds, only) {
  const modules = {};
  for (const [name, text] of Object.entries(binaries)) {
    modules[name] = await WebAssembly.compile(Uint8Array.from(atob(text), c => c.charCodeAt(0)));
  }
  const instances = {};
  for (const name in modules) instances[name] = new WebAssembly.Instance(modules[name]).exports;
  const rows = [];
  for (const one of cases()) {
    if (!one.case.includes(only)) continue;
    const tapes = {}, times = {}, results = [];
    // Some 10 ms a sample: the page's clock is coarse.
    const repeat = Math.max(1, Math.round(5e8 / one.flops / (one.case.includes('elem') ? 20 : 1)));
    for (const name in instances) {
      const heap = new Heap(instances[name]);
      const [kernel, words] = one.words(heap);
      tapes[name] = heap.tape(kernel, words, repeat);
      times[name] = [];
      for (let i = 0; i < 12; i++) instances[name].run_tape(...tapes[name]);
      if (one.result) results.push(new Float32Array(instances[name].memory.buffer, words[one.result[0]], one.result[1]).slice());
    }
    for (const result of results) {
      const largest = result.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      result.forEach((x, i) => {
        const other = results[0][i], error = Math.abs(x - other);
        if (!(error <= (one.exact ? 0 : 1e-5 * largest))) throw new Error(`${one.case}: results differ at ${i}: ${x}, ${other}`);
      });
    }
    for (let i = 0; i < rounds; i++) {
      for (const name in instances) {
        const start = performance.now();
        instances[name].run_tape(...tapes[name]);
        times[name].push(performance.now() - start);
      }
    }
    const speed = {};
    for (const name in times) {
      const sorted = times[name].sort((a, b) => a - b);
      speed[name] = (one.flops * repeat / sorted[rounds >> 1] / 1e6).toFixed(2);
    }
    rows.push({ case: one.case, speed });
  }
  return rows;
}
