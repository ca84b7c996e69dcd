// Memory scopes, leaks and operations of the built package in a page: `using`, `await using`, and what they free.
// `bundle`: address of edgeflow.js.

const pause = () => new Promise(resolve => setTimeout(resolve, 0));

function failure(work) {
  try {
    work();
  } catch (error) {
    return error.code ?? error.message;
  }
  return null;
}

export async function using(bundle) {
  const { memoryScope, memoryStats, tensor, add, loadOperations } = await import(bundle);
  await loadOperations();
  const found = { before: memoryStats().tensors };
  let inner, kept;
  {
    using scope = memoryScope();
    inner = [tensor([1]), add(tensor([1]), 1)];
    kept = scope.keep(tensor([2]));
    found.size = scope.size;
    {
      using nested = memoryScope();
      inner.push(tensor([3]));
      found.nested = nested.size;
    }
    found.early = inner[2].disposed;
  }
  found.freed = inner.every(x => x.disposed);
  found.kept = kept.tolist();
  found.code = failure(() => inner[0].tolist());
  {
    using x = kept;
  }
  found.after = memoryStats().tensors;
  let made;
  try {
    using scope = memoryScope();
    made = tensor([1]);
    throw new Error('no');
  } catch {}
  found.error = made.disposed;
  return found;
}

export async function awaitUsing(bundle) {
  const { memoryScope, memoryStats, tensor, withMemoryScope } = await import(bundle);
  const before = memoryStats().tensors;
  const sizes = [];
  async function task(count) {
    await using scope = memoryScope();
    for (let i = 0; i < count; i++) {
      scope.tensor([i]);
      {
        using inner = memoryScope();
        tensor([i]);
        if (inner.size !== 1) throw new Error('a synchronous scope missed its tensor');
      }
      await pause();
    }
    sizes.push(scope.size);
    return scope.keep(scope.tensor([count]));
  }
  const kept = await Promise.all([task(3), task(5), task(1)]);
  const values = kept.map(x => x.item ?? x.tolist()[0]);
  kept.forEach(x => x.dispose());
  const loose = [];
  await withMemoryScope(async scope => {
    loose.push(tensor([1]));
    await pause();
    loose.push(tensor([2]));
    if (scope.size !== 0) throw new Error('an asynchronous scope took what it was not told of');
  });
  const alive = loose.map(x => !x.disposed);
  loose.forEach(x => x.dispose());
  return { sizes, values, alive, left: memoryStats().tensors - before };
}

/** `using` around an await is a mistake: the scope takes nothing more after it, and the console says so, once. */
export async function acrossAwait(bundle) {
  const { memoryScope, tensor } = await import(bundle);
  let first, second, size;
  for (let i = 0; i < 2; i++) {
    using scope = memoryScope();
    first = tensor([1]);
    await pause();
    second = tensor([2]);
    size = scope.size;
  }
  const found = { size, first: first.disposed, second: second.disposed };
  second.dispose();
  return found;
}

export async function loseSome(bundle) {
  const { detectLeaks, memoryScope, memoryStats, tensor } = await import(bundle);
  globalThis.leaks = [];
  globalThis.stats = () => memoryStats();
  globalThis.detecting = detectLeaks({ ageLimit: 100, onLeak: leak => leaks.push(leak) });
  (function loseTensor() { tensor([1, 2]); })();
  memoryScope().tensor([3]);
  tensor([4]).dispose();
  globalThis.old = tensor([5, 6, 7]);
  return memoryStats().tensors;
}
