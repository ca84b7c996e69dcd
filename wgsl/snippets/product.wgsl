// Matrices and the end of a product: y = act(alpha * a @ b + bias) + residual.
// Strides and starts count elements of the arrays, which are vec4s where rows allow it. inner, outer: two levels of batch.
struct Params {
  m: u32, n: u32, k: u32, alpha: f32, a_row: u32, a_column: u32, b_row: u32, b_column: u32, r_row: u32, r_column: u32, beta: f32,
  start_a: u32, start_b: u32, start_y: u32, outer_a: u32, outer_b: u32, outer_y: u32, inner: u32, inner_a: u32, inner_b: u32, inner_y: u32, $PARAMS
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<$A>;
@group(0) @binding(2) var<storage, read> b: array<$B>;
@group(0) @binding(3) var<storage, read_write> y: array<$Y>;
$BINDINGS
alias F = vec4<f32>;
alias U = vec4<u32>;
alias B = vec4<bool>;
// include snippets/real.wgsl

// Where the matrices of a batch begin.
var<private> batch: u32;
fn starts(z: u32) -> vec3u {
  batch = z;
  return vec3u(p.start_a, p.start_b, p.start_y) + z / p.inner * vec3u(p.outer_a, p.outer_b, p.outer_y) + z % p.inner * vec3u(p.inner_a, p.inner_b, p.inner_y);
}

// The lowest bytes.
fn plain(x: vec4u) -> vec4f { return vec4f(x & vec4u(255u)); }
fn signed(x: vec4u) -> vec4f { return vec4f(bitcast<vec4i>(x << vec4u(24u)) >> vec4u(24u)); }

fn madd(x: vec4f, y: vec4f, z: vec4f) -> vec4f { return x * y + z; }

// What a column of B adds to the place of its first element.
fn column(n: u32) -> u32 { return $COLUMN; }

// Columns k to k + 3 of the row of A that begins at `at`; 0 beyond the last.
fn load_a(at: u32, k: u32) -> $WA {
  $LOAD_A
}

// Of B in row k columns n to n + 3, or, where it lies by columns, in column n rows k to k + 3, with n in `at`; 0 beyond the last row.
fn load_b(at: u32, k: u32) -> $WB {
  $LOAD_B
}

// Columns n to n + 3 of a row of the result.
fn store(start: u32, m: u32, n: u32, sum: $ACC) {
  if (m >= p.m || n >= p.n) { return; }
  var v = $SCALED;
  $STORE
}
