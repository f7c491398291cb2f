#!/usr/bin/env bash
# cron 4.4.0 of npm fires a nightly job an hour early, and again on time, in the night when clocks go back.
#
# `30 2 * * *` on New York's clock: on 1 November 2026 it fires at 01:30 EST and at 02:30 EST. Half past two
# comes once in that night; the hour from one to two is the one that comes twice. In Berlin, where the hour
# from two to three comes twice, a job of `30 3` fires at 02:30 CET and at 03:30. cron-parser 5.10.6 and
# croner 11.0.1 fire once, on time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" cron@4.4.0 cron-parser@5.10.6 croner@11.0.1
cat >"$folder/fires.cjs" <<'JAVASCRIPT'
const assert = require("node:assert");
const { CronTime } = require("cron");
const { CronExpressionParser } = require("cron-parser");
const { Cron } = require("croner");

const READERS = {
  cron: (expression, zone) => (after) => new CronTime(expression, zone).getNextDateFrom(after, zone).toJSDate(),
  "cron-parser": (expression, zone) => (after) =>
    CronExpressionParser.parse(expression, { currentDate: after, tz: zone }).next().toDate(),
  croner: (expression, zone) => (after) =>
    new Cron(expression, { timezone: zone, paused: true }).nextRun(after),
};

function times(name, expression, zone, from, until) {
  const next = READERS[name](expression, zone);
  const seen = [];
  for (let at = next(new Date(from)); at < new Date(until); at = next(at)) {
    seen.push(at.toISOString().slice(5, 16));
  }
  console.log(zone, expression, name, seen.join(" "), "UTC");
  return seen;
}

const CASES = [
  [["30 2 * * *", "America/New_York", "2026-10-31T12:00Z", "2026-11-02T12:00Z"],
    "11-01T06:30", ["11-01T07:30", "11-02T07:30"]],
  [["30 3 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-26T12:00Z"],
    "10-25T01:30", ["10-25T02:30", "10-26T02:30"]],
];
for (const [asked, early, onTime] of CASES) {
  assert.deepStrictEqual(times("cron-parser", ...asked), onTime);
  assert.deepStrictEqual(times("croner", ...asked), onTime);
  assert.deepStrictEqual(times("cron", ...asked), [early, ...onTime], "the behaviour has changed");
}
JAVASCRIPT
node "$folder/fires.cjs"
