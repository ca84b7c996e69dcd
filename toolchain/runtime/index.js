// Python's semantics where JS has others: small functions, no side effects, no prototype touched.
export * from './collections.js';
export * from './core.js';
export * from './errors.js';
export * from './number.js';
export * from './text.js';
