// Rows of A times a large matrix whose columns lie in blocks of codes of 4 bits (MatMulNBits), for few rows: $LANES threads share four columns, of which
// each reads a word, eight codes, at a time.
// include snippets/product.wgsl
var<workgroup> part: array<vec4f, $LANES>;

fn codes(w: u32, four: u32) -> vec4f { return $CODES; }

@compute @workgroup_size($LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
  let n = group.x * 4u;
  let row = group.y * $A_ROW;
  var c = vec4f();
$LOOP
$TURNS
  }
  let sum = subgroupAdd(c);
  if (lane == 0u) { part[t / size] = sum; }
  workgroupBarrier();
  if (t == 0u) {
    c = vec4f();
    // Not all adapters begin with zeros: only what a subgroup has written is read.
    let count = ($LANESu + size - 1u) / size;
    var z = 0u;
    for (; z + 4u <= count; z += 4u) {
$for i 4 {
      c += part[z + #iu];
$}
    }
    for (; z < count; z++) { c += part[z]; }
    store(0u, group.y, n, c);
  }
}
