const THREADS = $WXu * $WYu;
$for e $SLICED {
const MADE = THREADS * $TMu * $TNu;
var<workgroup> part: array<$ACC, MADE * $KSu>;
$}

@compute @workgroup_size($SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let x = local.$X;
  let slice = local.$S;
  let start = starts(group.z);
  let m = (group.y * $WYu + local.y) * $TMu;
  let n = $BASE + (group.x * $WXu * $TNu + x) * 4u;
$for j $TN {
$for l 4 {
  let column#j_#l = start.y + column(n + #ju * $WXu * 4u + $LNu * #lu);
$}
$}
$for i $TM {
  let row#i = start.x + (m + #iu) * p.a_row;
$for j $TN {
  var c#i_#j = $ACC();
$}
$}
$HEAD
  for (var k = slice * 4u; k < p.k; k += $KSu * $Uu * 4u) {
$READ_B
$for u $U {
$for i $TM {
    let a#u_#i = of_a(load_a(row#i, k + #uu * $KSu * 4u), local.y * $TMu + #iu, k / 4u + #uu * $KSu);
$}
$}
$for u $U {
$for i $TM {
$for j $TN {
    $SUM
$}
$}
$}
  }
$for e $ALONE {
  var made: array<$ACC, $TM * $TN>;
$for i $TM {
$for j $TN {
  made[#i * $TN + #j] = c#i_#j;
$}
$}
  for (var o = 0u; o < $TMu * $TNu; o++) { store(start.z, m + o / $TNu, n + o % $TNu * $WXu * 4u, made[o]); }
$}
$for e $SLICED {
  let t = local.y * $WXu + x;
$for i $TM {
$for j $TN {
  part[slice * MADE + (#iu * $TNu + #ju) * THREADS + t] = c#i_#j;
$}
$}
  workgroupBarrier();
  for (var o = slice * THREADS + t; o < MADE; o += THREADS * $KSu) {
    var v = $ACC();
$for z $KS {
    v += part[#zu * MADE + o];
$}
    let q = o % THREADS;
    let at = o / THREADS;
    store(start.z, (group.y * $WYu + q / $WXu) * $TMu + at / $TNu, $BASE + ((group.x * $TNu + at % $TNu) * $WXu + q % $WXu) * 4u, v);
  }
$}
}
