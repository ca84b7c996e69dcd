// A matrix product in tiles that a workgroup of $WX x $WY threads shares: each makes $TM rows x $TN times 4 columns, $BK of k at a time.
// While a tile is multiplied, the next is on its way. Arrays of arrays have one index that is not known: fewer checks of bounds. 32 threads are 8 x 4.
// include snippets/product.wgsl
const ROWS = $TMu * $WYu;
const COLUMNS = $TNu * $WXu;
const DEPTH = $BKu / 4u;
const THREADS = $WXu * $WYu;
var<workgroup> tile_a: array<array<array<vec4f, $WY>, $TM>, DEPTH>;
var<workgroup> tile_b: array<array<array<vec4f, $WX>, $TN>, $BK>;

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

fn place_a(i: u32, v: vec4f) { tile_a[i % DEPTH][i / DEPTH / $WYu][i / DEPTH % $WYu] = v; }

fn place_b(k: u32, n: u32, v: vec4f) { tile_b[k][n / $WXu][n % $WXu] = v; }

fn place_four(i: u32, v: mat4x4f) {
  let turned = transpose(v);
  for (var l = 0u; l < 4u; l++) { place_b(i % DEPTH * 4u + l, i / DEPTH, turned[l]); }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let x = t / 32u % ($WXu / 8u) * 8u + t % 8u;
  let y = t / ($WXu * 4u) * 4u + t % 32u / 8u;
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
    place_a(t + #qu * THREADS, a#q);
$}
$for q $PLACED {
    place_b((t + #qu * THREADS) / COLUMNS, (t + #qu * THREADS) % COLUMNS, b#q);
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
      let u#i = tile_a[#q][#i][y];
$}
$for l 4 {
$for j $TN {
      let v#l_#j = tile_b[#q * 4 + #l][#j][x];
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
  store(start.z, m + y + #iu * $WYu, n + (#ju * $WXu + x) * 4u, c#i_#j);
$}
$}
}
