// Rows of A times a matrix whose columns lie in blocks of codes (MatMulNBits), for few rows: $LANES threads share four columns, of which each
// reads 8 bytes at a time ($NX times four codes).
// include snippets/product.wgsl
$SHARED

// Four codes of the 8 bytes.
fn codes(w: vec2u, four: u32) -> vec4f { return $CODES; }

@compute @workgroup_size($LANES, $WY)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let n = (group.x * $WYu + local.y) * 4u;
  let row = group.y * p.a_row;
  var c = vec4f();
  for (var i = local.x; i < p.b_column; i += $LANESu * $Uu) {
$for u $U {
    let i#u = i + #uu * $LANESu;
    let block#u = i#u * 4u * $NXu / $BLOCKu;
$for j 4 {
    let w#u_#j = b[(n + #ju) * p.b_column + i#u];
    let s#u_#j = scale_of(n + #ju, block#u);
$}
$}
$for u $U {
$for l $NX {
    let x#u_#l = load_a(row, (i#u * $NXu + #lu) * 4u);
$}
    let x#u = $TOTAL;
$for j 4 {
    c[#j] += s#u_#j * ($DOTS - zero_of(n + #ju, block#u) * x#u);
$}
$}
  }
$END
}
