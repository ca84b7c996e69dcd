// What becomes of the product of a query and a key: softcap, mask, and which keys a query sees.
struct Params {
  s: u32, t: u32, group: u32, scale: f32, softcap: f32, fill: f32, none: f32, offset: i32, window: u32,
  q0: u32, q1: u32, q2: u32, k0: u32, k1: u32, k2: u32, v0: u32, v1: u32, v2: u32, o0: u32, o1: u32, o2: u32, m0: u32, m1: u32, m2: u32, m3: u32, q: u32, k: u32, v: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
$BINDINGS

// How many keys before a query's own place there are.
fn past_of(batch: u32) -> i32 { return $PAST; }

// The keys [first, end) that a query can see.
fn first_key(query: u32, past: i32) -> u32 { return select(0u, u32(max(0, i32(query) + past + 1 - i32(p.window))), p.window > 0u); }
fn end_key(query: u32, past: i32) -> u32 { return $END; }

fn score_of(product: f32, batch: u32, head: u32, query: u32, key: u32, past: i32) -> f32 {
  var score = product;
  $CAP
  let m = batch * p.m0 + head * p.m1 + query * p.m2 + key * p.m3;
  $MASKED
  return select(score, p.none, key < first_key(query, past) || key >= end_key(query, past));
}

fn weight_of(x: f32) -> f32 { return select(exp(x), x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u); }
fn tanh_of(x: f32) -> f32 {
  let e = exp(-2.0 * abs(x));
  let t = (1.0 - e) / (1.0 + e);
  return select(t, -t, x < 0.0);
}
