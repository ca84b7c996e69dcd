// Python's exceptions as JS errors. TypeError is JS's own.
import { $repr, $str } from './text.js';

export class Exception extends Error {
  constructor(...args) {
    super(args.length === 0 ? '' : args.length === 1 ? $str(args[0]) : $repr(args));
    // Python's; consoles, which show what can be enumerated, need not say the message again.
    Object.defineProperty(this, 'args', { value: args });
  }
  get name() { return 'Exception'; }
}
export class ArithmeticError extends Exception { get name() { return 'ArithmeticError'; } }
export class AssertionError extends Exception { get name() { return 'AssertionError'; } }
export class AttributeError extends Exception { get name() { return 'AttributeError'; } }
export class BufferError extends Exception { get name() { return 'BufferError'; } }
export class EOFError extends Exception { get name() { return 'EOFError'; } }
export class LookupError extends Exception { get name() { return 'LookupError'; } }
export class IndexError extends LookupError { get name() { return 'IndexError'; } }
export class KeyError extends LookupError {
  constructor(...args) {
    super(...args);
    if (args.length === 1) this.message = $repr(args[0]);
  }
  get name() { return 'KeyError'; }
}
export class MemoryError extends Exception { get name() { return 'MemoryError'; } }
export class OSError extends Exception { get name() { return 'OSError'; } }
export class ConnectionError extends OSError { get name() { return 'ConnectionError'; } }
export class FileNotFoundError extends OSError { get name() { return 'FileNotFoundError'; } }
export class InterruptedError extends OSError { get name() { return 'InterruptedError'; } }
export class TimeoutError extends OSError { get name() { return 'TimeoutError'; } }
export class OverflowError extends ArithmeticError { get name() { return 'OverflowError'; } }
export class ZeroDivisionError extends ArithmeticError { get name() { return 'ZeroDivisionError'; } }
export class RuntimeError extends Exception { get name() { return 'RuntimeError'; } }
export class NotImplementedError extends RuntimeError { get name() { return 'NotImplementedError'; } }
export class RecursionError extends RuntimeError { get name() { return 'RecursionError'; } }
export class StopIteration extends Exception { get name() { return 'StopIteration'; } }
export class StopAsyncIteration extends Exception { get name() { return 'StopAsyncIteration'; } }
export class ValueError extends Exception { get name() { return 'ValueError'; } }
export class UnicodeError extends ValueError { get name() { return 'UnicodeError'; } }
export class UnicodeDecodeError extends UnicodeError { get name() { return 'UnicodeDecodeError'; } }

export const $raise = (error) => {
  throw error;
};

/** throw new Kind(...), whose stack begins where this is called. */
export const $fail = (Kind, ...args) => {
  const error = new Kind(...args);
  Error.captureStackTrace?.(error, $fail);
  throw error;
};

export const $cause = (error, cause) => {
  error.cause = cause;
  return error;
};

export const $assertNever = (value) => {
  throw new AssertionError(`Expected code to be unreachable, but got: ${$repr(value)}`);
};
