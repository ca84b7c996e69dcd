// The upper word of a product of two.
fn upper(a: u32, b: u32) -> u32 {
  let c = (a & 0xffffu) * (b & 0xffffu);
  let d = (a >> 16u) * (b & 0xffffu) + (c >> 16u);
  let e = (a & 0xffffu) * (b >> 16u) + (d & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (d >> 16u) + (e >> 16u);
}
