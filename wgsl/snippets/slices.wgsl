const THREADS = $WXu * $WYu;
$SHARED

@compute @workgroup_size($SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let x = local.$X;
  let slice = local.$S;
  let start = starts(group.z);
  let m = (group.y * $WYu + local.y) * $TMu;
  let n = $BASE + (group.x * $WXu * $TNu + x) * 4u;
$HEAD
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
  for (var k = slice * 4u; k < p.k; k += $KSu * $Uu * 4u) {
$for u $U {
$for l 4 {
$for j $TN {
    let b#u_#l_#j = load_b(column#j_#l, k + #uu * $KSu * 4u + $LKu * #lu);
$}
$}
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
$END
}
