#!/usr/bin/env bash
# cron 4.4.0 of npm fires a nightly job an hour early, and again on time, in the night when clocks go back.
#
# `30 2 * * *` on New York's clock: on 1 November 2026 it fires at 01:30 EST and at 02:30 EST. Half past two
# comes once in that night; the hour from one to two is the one that comes twice. cron-parser 5.10.6 and
# croner 11.0.1 fire once, at 02:30 EST. In Berlin, where the hour from two to three comes twice, all agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" cron@4.4.0 cron-parser@5.10.6 croner@11.0.1
cat >"$folder/fires.cjs" <<'JAVASCRIPT'
const assert = require("node:assert");
const { CronTime } = require("cron");
const { CronExpressionParser } = require("cron-parser");
const { Cron } = require("croner");

const EXPRESSION = "30 2 * * *";
const READERS = {
  cron: (zone) => (after) => new CronTime(EXPRESSION, zone).getNextDateFrom(after, zone).toJSDate(),
  "cron-parser": (zone) => (after) =>
    CronExpressionParser.parse(EXPRESSION, { currentDate: after, tz: zone }).next().toDate(),
  croner: (zone) => (after) => new Cron(EXPRESSION, { timezone: zone, paused: true }).nextRun(after),
};

function times(name, zone, from, until) {
  const next = READERS[name](zone);
  const seen = [];
  for (let at = next(new Date(from)); at < new Date(until); at = next(at)) {
    seen.push(at.toISOString().slice(5, 16));
  }
  console.log(zone, name, seen.join(" "), "UTC");
  return seen;
}

const newYork = (name) => times(name, "America/New_York", "2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z");
const once = ["11-01T07:30", "11-02T07:30"];
assert.deepStrictEqual(newYork("cron-parser"), once);
assert.deepStrictEqual(newYork("croner"), once);
assert.deepStrictEqual(newYork("cron"), ["11-01T06:30", ...once], "the behaviour has changed");
for (const name of Object.keys(READERS)) {
  const berlin = times(name, "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
  assert.deepStrictEqual(berlin, ["10-25T00:30", "10-26T01:30"]);
}
JAVASCRIPT
node "$folder/fires.cjs"
