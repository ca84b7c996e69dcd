// A matrix product by the matrix units of subgroups, whose matrices are $MM x $MN x $MK, of float16 with sums in float32. 2 x 2 subgroups of 32 threads share
// tiles; each makes $TM x $TN matrices. While a tile is multiplied, the next is on its way.
// include snippets/product.wgsl
const ROWS = 2u * $TMu * $MMu;
const COLUMNS = $TNu * $MNu / 2u;
const DEPTH = $BKu / 4u;
const THREADS = 128u;
// Rows that do not begin at the same bank.
const PITCH_A = $BKu + 8u;
const PITCH_B = 4u * COLUMNS + 8u;
const MADE = $MMu * $MNu;
var<workgroup> tile_a: array<f16, ROWS * PITCH_A>;
var<workgroup> tile_b: array<f16, $BKu * PITCH_B>;
var<workgroup> made: array<f32, 4u * MADE>;

fn fetch_a(start: u32, m: u32, k: u32, i: u32) -> vec4f { return load_a(start + (m + i / DEPTH) * p.a_row, k + i % DEPTH * 4u); }
fn fetch_b(start: u32, k: u32, n: u32, i: u32) -> $WB { return load_b(start + column(n + i % COLUMNS * 4u), k + i / COLUMNS); }

fn place_a(i: u32, v: vec4f) {
  let at = i / DEPTH * PITCH_A + i % DEPTH * 4u;
$for l 4 {
  tile_a[at + #lu] = f16(v[#l]);
$}
}

fn place_b(i: u32, v: $WB) {
  let at = i / COLUMNS * PITCH_B + i % COLUMNS * 4u;
$for l 4 {
  tile_b[at + #lu] = f16(v[#l]);
$}
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let start = starts(group.z);
  let m = group.y * ROWS;
  let n = $BASE + group.x * COLUMNS * 4u;
  let subgroup = t / 32u;
  let row = subgroup / 2u * $TMu * $MMu;
  let across = subgroup % 2u * $TNu * $MNu;
$for i $TM {
$for j $TN {
  var c#i_#j = subgroup_matrix_result<f32, $MN, $MM>();
$}
$}
$for q $NA {
  var a#q = fetch_a(start.x, m, 0u, t + #qu * THREADS);
$}
$for q $NB {
  var b#q = fetch_b(start.y, 0u, n, t + #qu * THREADS);
$}
  for (var k = 0u; k < p.k; k += $BKu) {
$for q $NA {
    place_a(t + #qu * THREADS, a#q);
$}
$for q $NB {
    place_b(t + #qu * THREADS, b#q);
$}
    workgroupBarrier();
$for q $NA {
    a#q = fetch_a(start.x, m, k + $BKu, t + #qu * THREADS);
$}
$for q $NB {
    b#q = fetch_b(start.y, k + $BKu, n, t + #qu * THREADS);
$}
$for z $NK {
    {
$for i $TM {
      let u#i = subgroupMatrixLoad<subgroup_matrix_left<f16, $MK, $MM>, row_major>(&tile_a, (row + #iu * $MMu) * PITCH_A + #zu * $MKu, PITCH_A);
$}
$for j $TN {
      let v#j = subgroupMatrixLoad<subgroup_matrix_right<f16, $MN, $MK>, row_major>(&tile_b, #zu * $MKu * PITCH_B + across + #ju * $MNu, PITCH_B);
$}
$for i $TM {
$for j $TN {
      c#i_#j = subgroupMatrixMultiplyAccumulate(u#i, v#j, c#i_#j);
$}
$}
    }
$}
    workgroupBarrier();
  }
  let mine = subgroup * MADE;
$for i $TM {
$for j $TN {
  subgroupMatrixStore<row_major>(&made, mine, c#i_#j, $MNu);
  workgroupBarrier();
  for (var o = t % 32u; o < MADE / 4u; o += 32u) {
    let at = mine + o * 4u;
    store(start.z, m + row + #iu * $MMu + o * 4u / $MNu, n + across + #ju * $MNu + o * 4u % $MNu, vec4f(made[at], made[at + 1u], made[at + 2u], made[at + 3u]));
  }
  workgroupBarrier();
$}
$}
}
