// x / y rounded to the nearest from `q`, which an adapter's division may leave a few units beside it. In integers: the mantissa of x, shifted, less
// that of y times that of the quotient is so small that its lowest 32 bits are all of it. Division has no ties.
fn nearest(q: F, x: F, y: F) -> F {
  let xe = (bitcast<U>(x) >> U(23u)) & U(255u);
  let ye = (bitcast<U>(y) >> U(23u)) & U(255u);
  let m = (bitcast<U>(x) & U(0x7fffffu)) | U(0x800000u);
  let n = (bitcast<U>(y) & U(0x7fffffu)) | U(0x800000u);
  let less = select(U(), U(1u), m < n);
  let e = xe + U(127u) - less - ye;
  let k = (bitcast<U>(q) & U(0x7fffffffu)) + U(0x800000u) - (e << U(23u));
  let rest = (m << (U(23u) + less)) - k * n;
  let by = bitcast<U>(I(round(F(bitcast<I>(rest)) / F(n))));
  let left = bitcast<I>(rest - by * n) * 2;
  let last = select(U(), U(1u), left > bitcast<I>(n)) - select(U(), U(1u), left < -bitcast<I>(n));
  // Not what is 0, infinite, NaN or below the normal numbers.
  let normal = (xe - U(1u) < U(254u)) & (ye - U(1u) < U(254u)) & (e - U(1u) < U(254u)) & (k - U(0x7fff00u) < U(0x800200u));
  return select(q, bitcast<F>(bitcast<U>(q) + by + last), normal);
}

fn quotient(x: F, y: F) -> F { return nearest(x / y, x, y); }
