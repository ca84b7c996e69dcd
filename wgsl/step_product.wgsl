// One row times matrices in blocks of codes (MatMulNBits) that share it, as a decoder's step has them: $LANES threads share four columns of one
// matrix, of which each reads 8 bytes at a time ($NX times four codes). The row may be what a chain makes, and be normalised by its mean square.
// Matrix q has the columns of sets first_q to first_q + sets_q (excluded), four each, and gives its results from unit to_q of y on.
$TYPES
// include snippets/real.wgsl
struct Params { units: u32, share: f32, epsilon: f32, $PARAMS }
@group(0) @binding(0) var<uniform> p: Params;
$BINDINGS
$SHARED
var<private> squares: f32;

fn plain(x: vec4u) -> vec4f { return vec4f(x & vec4u(255u)); }
fn codes(w: vec2u, four: u32) -> vec4f { return $CODES; }

// Elements 4 u to 4 u + 3 of the row.
fn row_of(u: u32) -> vec4f {
$ROW
}

fn finish(unit: u32, sum: vec4f) {
  let c = $SCALED;
$for q $COUNT
  if (unit >= p.first_#q && unit < p.first_#q + p.sets_#q) {
    let n = unit - p.first_#q;
    y[p.to_#q + n] = $STORED;
  }
$}
}

@compute @workgroup_size($LANES, $WY)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let unit = group.x * $WYu + local.y;
  var c = vec4f();
$for q $COUNT
  if (unit >= p.first_#q && unit < p.first_#q + p.sets_#q) {
    let n = (unit - p.first_#q) * 4u;
    for (var i = local.x; i < p.units; i += $LANESu * $Uu) {
$for u $U
      let i#u = i + #uu * $LANESu;
      let block#u = i#u * 4u * $NXu / $BLOCKu;
$for j 4
      let w#u_#j = b_#q[(n + #ju) * p.units + i#u];
      let s#u_#j = scale_of_#q(n + #ju, block#u);
$}
$}
$for u $U
$for l $NX
      let x#u_#l = row_of(i#u * $NXu + #lu);
$}
      let x#u = $TOTAL;
$for j 4
      c[#j] += s#u_#j * ($DOTS - zero_of_#q(n + #ju, block#u) * x#u);
$}
$}
    }
  }
$}
$END
}
