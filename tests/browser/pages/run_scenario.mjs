// node run_scenario.mjs SCENARIO ARGUMENT...: prints what the scenario gives, as JSON.
import * as scenarios from './host_scenarios.js';

const [name, ...args] = process.argv.slice(2);
console.log(JSON.stringify(await scenarios[name](...args)));
