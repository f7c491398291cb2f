#!/usr/bin/env bash
# rate-limiter-flexible 11.4.0 of npm: a limit in memory over 30 days is forgotten after a millisecond.
#
# RateLimiterMemory removes a key by setTimeout, whose longest delay is 2^31-1 ms, 24.8 days. Of more than
# that Node.js makes 1 ms, and warns on stderr of an overflow. One point for 20 days is given once, one
# point for 30 days each time that it is asked for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" rate-limiter-flexible@11.4.0
cat >"$folder/limit.cjs" <<'JAVASCRIPT'
const assert = require("node:assert");
const { setTimeout: pause } = require("node:timers/promises");
const { RateLimiterMemory } = require("rate-limiter-flexible");

async function given(days) {
  const limiter = new RateLimiterMemory({ points: 1, duration: days * 24 * 3600 });
  let count = 0;
  for (let turn = 0; turn < 5; turn += 1) {
    count += await limiter.consume("tenant").then(() => 1, () => 0);
    await pause(20);
  }
  console.log(`1 point for ${days} days, asked for 5 times: given ${count} times`);
  return count;
}

(async () => {
  assert.strictEqual(await given(20), 1);
  assert.strictEqual(await given(30), 5, "the behaviour has changed");
  process.exit(0);
})();
JAVASCRIPT
node "$folder/limit.cjs"
