// A token of each row of logits, drawn by its probability from those that top-k, then top-p, then min-p leave. A workgroup has a row.
// A logit's distance from the highest is a fixed-point number, a probability an integer of 45 bits: so sums do not depend on their order, and the
// adapter's exp() is not asked. The distance up to which tokens stay, and in the end the token, are found digit by digit, of 8 bits, by sums of
// what has the same digit; once few are left, by a list of these. backends/webgpu/drawing.py has the words of `asked`.
override GROUP: u32 = 64u;
const WIDTH = $WIDTHu;
const NONE = 0xffffffffu;
const MOST = 1024u;
struct Params { units: u32, bits: u32, none0: u32, none1: u32, roots: array<vec4u, 16> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$S>;
@group(0) @binding(2) var<storage, read> asked: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<i32>;
// Of each digit the sum in two words, of 16 neighbours together.
var<workgroup> low: array<atomic<u32>, 256>;
var<workgroup> high: array<atomic<u32>, 256>;
var<workgroup> some: array<vec2u, 16>;
// As in the parameters, where many threads cannot read different ones at once.
var<workgroup> roots: array<u32, 64>;
// Distances and tokens.
var<workgroup> list: array<vec2u, MOST>;
var<workgroup> counter: atomic<u32>;
var<workgroup> listed: u32;
var<workgroup> digit: u32;
var<workgroup> whole: u32;
// Of the row: its first word of `asked`, the highest logit as it is and as a fixed-point number, how far from it tokens count at all.
var<private> row: u32;
var<private> top: f32;
var<private> summit: u32;
var<private> reach: f32;

fn more(a: u32, b: u32) -> u32 { return select(0u, 1u, a < b); }
fn added(a: vec2u, b: vec2u) -> vec2u {
  let sum = a.x + b.x;
  return vec2u(sum, a.y + b.y + more(sum, a.x));
}
fn less(a: vec2u, b: vec2u) -> bool { return (a.y < b.y) | ((a.y == b.y) & (a.x < b.x)); }
// include snippets/upper.wgsl
// a * b / 2^32.
fn share(a: vec2u, b: u32) -> vec2u { return added(vec2u(a.y * b, upper(a.y, b)), vec2u(upper(a.x, b), 0u)); }

// v * 2^shift, its lowest 32 bits.
fn fixed(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  let e = i32((bits >> 23u) & 255u) - 150 + bitcast<i32>(asked[row]);
  let m = (bits & 0x7fffffu) | 0x800000u;
  let n = select(select(m << u32(e & 31), 0u, e > 31), m >> u32(min(-e, 31)), e < 0);
  return select(n, 0u - n, bits > 0x7fffffffu);
}

// How far apart logits are at most whose distance is no larger, as far as floats tell.
fn reached(distance: u32) -> f32 {
  return min(reach, (f32(distance) + 2.0) * bitcast<f32>(u32(127 - bitcast<i32>(asked[row])) << 23u) * 1.00001);
}

fn distance_of(v: f32) -> u32 {
  let counts = (top - v <= reach) & ((bitcast<u32>(v) & 0x7fffffffu) <= 0x7f800000u);
  return select(NONE, summit - fixed(v), counts);
}

// 2^44 / e^(distance / temperature): 1/64ths of a power of 2 by a table, the rest by a polynomial.
fn weight_of(distance: u32) -> vec2u {
  let scale = asked[row + 1u];
  let whole = upper(distance, scale);
  let f = (whole << 7u) | ((distance * scale) >> 25u);
  let r = f << 6u;
  let root = roots[f >> 26u];
  let m = root - upper(root, upper(r, 46516320u - upper(r, 251896u - upper(r, 909u))));
  let e = whole >> 25u;
  return select(vec2u(m >> ((e - 13u) & 31u), 0u), vec2u(m << ((13u - e) & 31u), m >> ((19u + e) & 31u)), e < 13u);
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  row = group.x * 14u;
  if (local < 64u) { roots[local] = p.roots[local / 4u][local % 4u]; }
  let start = group.x * p.units;
  if (local == 0u) { atomicStore(&counter, 0u); }
  workgroupBarrier();
  var best = 0u;
  for (var i = local; i < p.units; i += GROUP) {
    let unit = vec4f(x[start + i]);
    for (var c = 0u; c < WIDTH; c++) {
      // In the order of numbers, what is none the least.
      let bits = bitcast<u32>(unit[c]);
      let key = select(bits | 0x80000000u, ~bits, bits > 0x7fffffffu);
      best = max(best, select(key, 0u, (bits & 0x7fffffffu) > 0x7f800000u));
    }
  }
  atomicMax(&counter, best);
  workgroupBarrier();
  best = atomicLoad(&counter);
  top = bitcast<f32>(select(~best, best & 0x7fffffffu, best > 0x7fffffffu));
  summit = fixed(top);
  reach = bitcast<f32>(asked[row + 2u]);
  var limit = NONE - 1u;
  var token = 0u;
  var units = p.units;
  var unit = vec4f();
  var short = false;
  for (var stage = 0u; stage < 3u; stage++) {
    let wish = asked[group.x * 14u + 3u + stage];
    if (stage < 2u && wish == 0u) { continue; }
    if (stage == 2u) { limit = min(limit, asked[row + 6u]); }
    var known = 0u;
    var rest = vec2u();
    var shift = select(32u, p.bits, stage == 2u);
    for (var first = true; shift > 0u; first = false) {
      let width = min(8u, shift);
      shift -= width;
      for (var i = local; i < 256u; i += GROUP) {
        atomicStore(&low[i], 0u);
        atomicStore(&high[i], 0u);
      }
      workgroupBarrier();
      var i = local;
      var end = units;
      if (stage == 2u && !short) {
        i += ((known << width) << shift) / WIDTH;
        end = min(end, (((known + 1u) << width) << shift) / WIDTH + 1u);
      }
      for (; i < end; i += GROUP) {
        if (!short) { unit = vec4f(x[start + i]); }
        for (var c = 0u; c < select(WIDTH, 1u, short); c++) {
          var one = vec2u();
          if (short) {
            one = list[i];
          } else if (top - unit[c] > reach) {
            continue;
          } else {
            one = vec2u(distance_of(unit[c]), i * WIDTH + c);
          }
          let key = select(one.x, one.y, stage == 2u) >> shift;
          if ((one.x <= limit) & (key >> width == known)) {
            var sum = vec2u(1u, 0u);
            if (stage > 0u) { sum = weight_of(one.x); }
            let place = key & ((1u << width) - 1u);
            let carry = sum.y + more(~atomicAdd(&low[place], sum.x), sum.x);
            if (carry > 0u) { atomicAdd(&high[place], carry); }
          }
        }
      }
      workgroupBarrier();
      if (local < 16u) {
        var sum = vec2u();
        for (var j = local * 16u; j < local * 16u + 16u; j++) { sum = added(sum, vec2u(atomicLoad(&low[j]), atomicLoad(&high[j]))); }
        some[local] = sum;
      }
      workgroupBarrier();
      if (local == 0u) {
        if (first) {
          var all = vec2u();
          for (var j = 0u; j < 16u; j++) { all = added(all, some[j]); }
          rest = vec2u(wish, 0u);
          if (stage > 0u) { rest = added(share(all, wish), vec2u(stage - 1u, 0u)); }
        }
        // The digit at which the sum reaches what is wanted.
        var j = 0u;
        while (j < 240u && less(some[j / 16u], rest)) {
          rest = added(rest, added(~some[j / 16u], vec2u(1u, 0u)));
          j += 16u;
        }
        var one = vec2u();
        for (; j < 256u; j++) {
          one = vec2u(atomicLoad(&low[j]), atomicLoad(&high[j]));
          if (!less(one, rest)) { break; }
          rest = added(rest, added(~one, vec2u(1u, 0u)));
        }
        digit = min(j, 255u);
        // All that have it stay.
        whole = u32(stage < 2u && all(one == rest));
      }
      known = (known << width) | workgroupUniformLoad(&digit);
      if (workgroupUniformLoad(&whole) == 1u) { break; }
      if (stage < 2u && first && !short) {
        // All that may stay.
        let most = min(limit, ((known + 1u) << shift) - 1u);
        reach = reached(most);
        if (local == 0u) { atomicStore(&counter, 0u); }
        workgroupBarrier();
        for (var i = local; i < p.units; i += GROUP) {
          unit = vec4f(x[start + i]);
          for (var c = 0u; c < WIDTH; c++) {
            if (top - unit[c] > reach) { continue; }
            let distance = distance_of(unit[c]);
            if (distance <= most) {
              let at = atomicAdd(&counter, 1u);
              if (at < MOST) { list[at] = vec2u(distance, i * WIDTH + c); }
            }
          }
        }
        workgroupBarrier();
        if (local == 0u) { listed = atomicLoad(&counter); }
        let count = workgroupUniformLoad(&listed);
        if (count <= MOST) {
          short = true;
          units = count;
        }
      }
    }
    if (stage < 2u) {
      limit = min(limit, ((known + 1u) << shift) - 1u);
      reach = reached(limit);
    }
    token = known;
  }
  if (local == 0u) { y[group.x] = select(-1, i32(token), (best > 0x7fffffu) & (best < 0xff800000u)); }
}
