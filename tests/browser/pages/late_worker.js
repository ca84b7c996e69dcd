// A worker script that takes its time: it becomes a worker of edgeflow when the page says so.
const channel = new BroadcastChannel('begin');
await new Promise(resolve => { channel.onmessage = resolve; });
await import('/dist/edgeflow.js');
