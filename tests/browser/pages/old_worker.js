// A worker script of another version than the page's library.
postMessage(new Map([['kind', 'ready'], ['version', '0.0.0']]));
