// Functions of real numbers F (f32 or vec4<f32>), in which NaN stays NaN.

fn is_nan(x: F) -> B { return (bitcast<U>(x) & U(0x7fffffffu)) > U(0x7f800000u); }

// NaN made of bits of x, so that no compiler may assume that there is none.
fn none_of(x: F) -> F { return bitcast<F>(bitcast<U>(x) | U(0x7fc00000u)); }

// The builtin may be wrong for NaN and where the result is infinite.
fn expo(x: F) -> F {
  let e = exp(0.5 * x);
  return select(e * e, x, is_nan(x));
}

fn loga(x: F) -> F { return select(select(none_of(x), -1.0 / abs(x), x == F()), log(x), x > F()); }

fn least(x: F, y: F) -> F { return select(select(y, x, x < y), x, is_nan(x)); }

fn most(x: F, y: F) -> F { return select(select(y, x, x > y), x, is_nan(x)); }

// A compiler may make min and max, which lose NaN, of the inner two.
fn limit(x: F, low: F, high: F) -> F { return select(select(select(x, low, x < low), high, x > high), x, is_nan(x)); }

// The nearest float16, half to even; the builtin may cut digits off. Below 2^-13 they are multiples of 2^-24.
fn half_of(x: F) -> F {
  let u = bitcast<U>(x);
  let normal = bitcast<F>((u + U(4095u) + ((u >> U(13u)) & U(1u))) & U(0xffffe000u));
  let y = select(normal, round(x * 16777216.0) / 16777216.0, abs(x) < F(0.0001));
  return select(select(y, bitcast<F>((u & U(0x80000000u)) | U(0x7f800000u)), abs(y) > F(65504.0)), x, is_nan(x));
}

// x * P(x^2) / Q(x^2), as in wasm/simd_math.h; 3.7e-7. NaN stays, as limit() lets it.
fn erf(x: F) -> F {
  let a = limit(x, F(-3.939), F(3.939));
  let t = a * a;
  let p = ((((2.0259105892954394e-06 * t + 0.00028468811069615185) * t + 0.00380816706456244) * t + 0.05287546291947365) * t + 0.19155040383338928) * t + 1.1283791065216064;
  let q = ((((3.7831850931979716e-05 * t + 0.0011707276571542025) * t + 0.015055100433528423) * t + 0.11455966532230377) * t + 0.5030897855758667) * t + 1.0;
  return limit(a * p / q, F(-1.0), F(1.0));
}

// The builtin may overflow.
// Near 0, where 1 - e has few digits, a series.
fn tanh_real(x: F) -> F {
  let a = abs(x);
  let s = x * x;
  let e = expo(-2.0 * a);
  let t = select((1.0 - e) / (1.0 + e), a * (1.0 - s * (0.33333333 - s * (0.13333333 - s * 0.053968254))), a < F(0.25));
  return select(t, -t, x < F(0.0));
}

fn sigmoid(x: F) -> F { return 1.0 / (1.0 + expo(-x)); }

// log(1 + x) for x from 0 on.
fn log_next(x: F) -> F {
  let u = 1.0 + x;
  return select(loga(u) * (x / (u - 1.0)), x, u == F(1.0));
}

fn softplus(x: F) -> F { return select(x, F(0.0), x < F(0.0)) + log_next(expo(-abs(x))); }

fn gelu(x: F) -> F { return 0.5 * x * (1.0 + erf(0.7071067811865476 * x)); }

fn gelu_tanh(x: F) -> F { return 0.5 * x * (1.0 + tanh_real(0.7978845608028654 * (x + 0.044715 * x * x * x))); }

// The sine of x + quarter * pi / 2. The builtin may be bad far from 0: so a multiple of pi / 2 goes off in three parts.
fn sine(x: F, quarter: F) -> F {
  let n = round(x * 0.6366197723675814);
  let r = ((x - n * 1.5703125) - n * 4.837512969970703125e-4) - n * 7.549789954891882e-8;
  let q = n + quarter;
  let turn = q - 4.0 * floor(q * 0.25);
  let s = r * r;
  let sin_r = r * (1.0 + s * (-0.16666654611 + s * (0.0083321608736 - s * 0.00019515295891)));
  let cos_r = 1.0 - 0.5 * s + s * s * (0.041666645683 + s * (-0.0013887316255 + s * 0.000024433157118));
  let odd = (turn == F(1.0)) | (turn == F(3.0));
  let y = select(sin_r, cos_r, odd);
  return select(y, -y, turn >= F(2.0));
}

// The builtin's result is open where x is below 0, and may be wrong at 0.
fn power(x: F, y: F) -> F {
  let a = select(pow(abs(x), y), select(F(0.0), 1.0 / abs(x), y < F(0.0)), x == F(0.0));
  let half = 0.5 * y;
  let signed = select(-a, a, half == floor(half));
  let low = select(select(none_of(a), a, abs(x) > F(3.4028234e38)), signed, y == floor(y));
  let r = select(a, low, x < F(0.0));
  return select(select(r, x + y, is_nan(x) | is_nan(y)), F(1.0), y == F(0.0));
}
