// Runs the `$tests` that transpiled test modules export; works in Node and in a page.

/** All argument rows of one test: the product of its parametrize decorators, the last one varying slowest. */
function* rows(cases, given = []) {
  if (cases.length === 0) {
    yield given;
    return;
  }
  const [[places, values], ...rest] = cases;
  for (const value of values) {
    const next = [...given];
    if (places.length === 1) next[places[0]] = value;
    else places.forEach((place, i) => { next[place] = value[i]; });
    yield* rows(rest, next);
  }
}

/** Run the tests of modules given by name: {passed, failed, failures: [{module, test, case, error}]}. */
export async function runTests(modules, { only = '', onFailure = null } = {}) {
  const result = { passed: 0, failed: 0, failures: [] };
  for (const [module, exports] of Object.entries(modules)) {
    for (const [name, test, cases] of exports.$tests ?? []) {
      if (only && !`${module}::${name}`.includes(only)) continue;
      let number = 0;
      for (const row of rows(cases)) {
        try {
          await test(...row);
          result.passed++;
        } catch (error) {
          result.failed++;
          const failure = { module, test: name, case: number, error: String(error), stack: error?.stack ?? '' };
          result.failures.push(failure);
          onFailure?.(failure);
        }
        number++;
      }
    }
  }
  return result;
}
