// Elementary functions in double precision. Float32 tensors are computed through them too, so their results are rounded once.
// Errors against exact values are a few units of 1e-16 (relative), save pow_f64: 1e-13 where |y log x| is large.
#pragma once
double exp_f64(double x);
double expm1_f64(double x);
double log_f64(double x);
double log1p_f64(double x);
double pow_f64(double x, double y);
double fmod_f64(double x, double y);
double sin_f64(double x);
double cos_f64(double x);
double tan_f64(double x);
double asin_f64(double x);
double acos_f64(double x);
double atan_f64(double x);
double sinh_f64(double x);
double cosh_f64(double x);
double tanh_f64(double x);
double asinh_f64(double x);
double acosh_f64(double x);
double atanh_f64(double x);
double erf_f64(double x);
