// What the scripts of the example pages share.
export const $ = id => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** An error in words, with its code, in place of what was loading. */
export function showFailure(error) {
  document.documentElement.dataset.state = 'failed';
  $('failure-message').textContent = error.message ?? String(error);
  $('failure-code').textContent = error.code ?? error.name ?? 'unknown';
  $('failure').hidden = false;
  $('loading').hidden = true;
}
