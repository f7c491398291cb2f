#!/usr/bin/env bash
# cronosjs 1.7.1 reads the weekdays `0-7`, which are all, as Sundays only.
#
# 7 is Sunday once more, and the range comes out as `0-0`: a daily job runs weekly, without an error. `1-7`
# is right. cron-parser 5.10.6 reads both as every day, and so does crontab(5), which names 0-7 as the values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" cronosjs@1.7.1 cron-parser@5.10.6
cat >"$folder/fires.cjs" <<'JAVASCRIPT'
const assert = require("node:assert");
const { CronosExpression } = require("cronosjs");
const { CronExpressionParser } = require("cron-parser");

function times(expression, zone, from, until) {
  const cronos = CronosExpression.parse(expression, { timezone: zone });
  const readers = {
    cronosjs: (at) => cronos.nextDate(at),
    "cron-parser": (at) =>
      CronExpressionParser.parse(expression, { currentDate: at, tz: zone }).next().toDate(),
  };
  return Object.entries(readers).map(([name, next]) => {
    const seen = [];
    for (let at = next(new Date(from)); at < new Date(until); at = next(at)) {
      seen.push(at.toISOString().slice(8, 16));
    }
    console.log(expression, name, seen.join(" "));
    return seen;
  });
}

const [weekly, daily] = times("0 0 * * 0-7", "UTC", "2026-02-28T23:59:00Z", "2026-03-08T12:00:00Z");
assert.strictEqual(daily.length, 8);
assert.deepStrictEqual(weekly, ["01T00:00", "08T00:00"], "0-7: the behaviour has changed");
const [same] = times("0 0 * * 1-7", "UTC", "2026-02-28T23:59:00Z", "2026-03-08T12:00:00Z");
assert.deepStrictEqual(same, daily);
JAVASCRIPT
node "$folder/fires.cjs"
