#!/usr/bin/env bash
# node-cron 4.6.0 of npm skips a nightly job when clocks go forward, and an hour of all jobs when they go back.
#
# `30 2 * * *` in New York has no run on 8 March 2026, where cron, cron-parser, croner and croniter have one
# at 03:00 or 03:30. When clocks go back, a job of each 20 minutes has none from 05:40 to 07:00 UTC, for the
# wall clock shows that hour a second time. The clock and the timers are those of node:test here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" node-cron@4.6.0
cat >"$folder/runs.mjs" <<'JAVASCRIPT'
import assert from "node:assert";
import { mock } from "node:test";
import { schedule } from "node-cron";

const MINUTE = 60_000;
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function runs(expression, from, until) {
  mock.timers.enable({ apis: ["Date", "setTimeout", "setInterval"], now: new Date(from) });
  const seen = [];
  const task = schedule(expression, () => void seen.push(new Date().toISOString().slice(5, 16)), {
    timezone: "America/New_York",
  });
  while (Date.now() < new Date(until).getTime()) {
    mock.timers.tick(MINUTE);
    await settled();
    await settled();
  }
  task.destroy();
  mock.timers.reset();
  console.log(expression, seen.join(" "), "UTC");
  return seen;
}

const autumn = await runs("*/20 * * * *", "2026-11-01T04:50Z", "2026-11-01T07:30Z");
const winter = await runs("*/20 * * * *", "2026-12-01T04:50Z", "2026-12-01T07:30Z");
const spring = await runs("30 2 * * *", "2026-03-07T06:00Z", "2026-03-10T06:00Z");
const times = (...all) => all.map((time) => `11-01T${time}`);
assert.strictEqual(winter.length, 8);
assert.deepStrictEqual(autumn, times("05:00", "05:20", "05:40", "07:00", "07:20"), "the behaviour has changed");
assert.deepStrictEqual(spring, ["03-07T07:30", "03-09T06:30"], "the behaviour has changed");
process.exit(0);
JAVASCRIPT
TZ=UTC node --no-warnings "$folder/runs.mjs"
