// A matrix product in tiles that a workgroup of $WX x $WY threads shares: each makes $TM rows x $TN times 4 columns, $BK of k at a time.
// While a tile is multiplied, the next is on its way.
// include snippets/product.wgsl
const ROWS = $TMu * $WYu;
const COLUMNS = $TNu * $WXu;
const DEPTH = $BKu / 4u;
const THREADS = $WXu * $WYu;
var<workgroup> tile_a: array<vec4f, ROWS * DEPTH>;
var<workgroup> tile_b: array<vec4f, $BKu * COLUMNS>;

fn fetch_a(start: u32, m: u32, k: u32, i: u32) -> vec4f { return load_a(start + (m + i / DEPTH) * p.a_row, k + i % DEPTH * 4u); }

// $ACROSS: B lies by columns, of which four come together and are exchanged with rows on the way into the tile.
fn fetch_b(start: u32, k: u32, n: u32, t: u32, q: u32) -> vec4f {
  if ($ACROSS) {
    let i = t + q / 4u * THREADS;
    return load_b(start + column(n + i / DEPTH * 4u + q % 4u), k + i % DEPTH * 4u);
  }
  let i = t + q * THREADS;
  return load_b(start + column(n + i % COLUMNS * 4u), k + i / COLUMNS);
}

fn place_four(i: u32, v: mat4x4f) {
  let turned = transpose(v);
  let at = i % DEPTH * 4u * COLUMNS + i / DEPTH;
  tile_b[at] = turned[0];
  tile_b[at + COLUMNS] = turned[1];
  tile_b[at + 2u * COLUMNS] = turned[2];
  tile_b[at + 3u * COLUMNS] = turned[3];
}

@compute @workgroup_size($WX, $WY)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) t: u32) {
  let start = starts(group.z);
  let m = group.y * ROWS;
  let n = $BASE + group.x * COLUMNS * 4u;
$for i $TM {
$for j $TN {
  var c#i_#j = vec4f();
$}
$}
$for q $NA {
  var a#q = fetch_a(start.x, m, 0u, t + #qu * THREADS);
$}
$for q $NB {
  var b#q = fetch_b(start.y, 0u, n, t, #qu);
$}
  for (var k = 0u; k < p.k; k += $BKu) {
$for q $NA {
    tile_a[t + #qu * THREADS] = a#q;
$}
$for q $PLACED {
    tile_b[t + #qu * THREADS] = b#q;
$}
$for e $FOURS {
    place_four(t, mat4x4f(b0, b1, b2, b3));
$}
    workgroupBarrier();
$for q $NA {
    a#q = fetch_a(start.x, m, k + $BKu, t + #qu * THREADS);
$}
$for q $NB {
    b#q = fetch_b(start.y, k + $BKu, n, t, #qu);
$}
$for q $NK {
    {
$for i $TM {
      let u#i = tile_a[(local.y + #iu * $WYu) * DEPTH + #qu];
$}
$for l 4 {
$for j $TN {
      let v#l_#j = tile_b[#qu * 4u * COLUMNS + #lu * COLUMNS + #ju * $WXu + local.x];
$}
$for i $TM {
$for j $TN {
      c#i_#j = $FMA(vec4f(u#i[#l]), v#l_#j, c#i_#j);
$}
$}
$}
    }
$}
    workgroupBarrier();
  }
$for i $TM {
$for j $TN {
  store(start.z, m + local.y + #iu * $WYu, n + (#ju * $WXu + local.x) * 4u, c#i_#j);
$}
$}
}
