#!/usr/bin/env bash
# @breejs/later 4.2.0, which reads the cron expressions of Bree, fires on Saturdays for `7`, and not on Sundays.
#
# In crontab(5) 0 and 7 are Sunday. later counts weekdays from 1 for Sunday and adds one to what is written,
# cut at seven: so `7` is its Saturday, and `5-7` is Friday and Saturday. `0` and `sun` are right. A range
# that wraps loses days, too: `fri-mon` is only Saturday. No error is raised for any of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" @breejs/later@4.2.0 cron-parser@5.10.6
cat >"$folder/fires.cjs" <<'JAVASCRIPT'
const assert = require("node:assert");
const later = require("@breejs/later");
const { CronExpressionParser } = require("cron-parser");

const FROM = new Date("2026-02-28T23:59:00Z");
const UNTIL = new Date("2026-03-14T12:00:00Z");
const SATURDAYS = [7, 14];
const SUNDAYS = [1, 8];
const EXPECTED = {
  "0 0 * * 0": [SUNDAYS, SUNDAYS],
  "0 0 * * sun": [SUNDAYS, SUNDAYS],
  "0 0 * * 7": [SATURDAYS, SUNDAYS],
  "0 0 * * 5-7": [[6, 7, 13, 14], [1, 6, 7, 8, 13, 14]],
};

function byLater(expression) {
  const schedule = later.schedule(later.parse.cron(expression));
  return schedule.next(31, FROM, UNTIL).map((at) => at.getUTCDate());
}

function byCronParser(expression) {
  const times = CronExpressionParser.parse(expression, { currentDate: FROM, endDate: UNTIL, tz: "UTC" });
  const seen = [];
  while (times.hasNext()) seen.push(times.next().toDate().getUTCDate());
  return seen;
}

later.date.UTC();
for (const [expression, [expected, other]] of Object.entries(EXPECTED)) {
  const seen = byLater(expression);
  console.log(expression, "later", String(seen), "cron-parser", String(byCronParser(expression)));
  assert.deepStrictEqual(byCronParser(expression), other);
  assert.deepStrictEqual(seen, expected, `${expression}: the behaviour has changed`);
}
const wrapped = byLater("0 0 * * fri-mon");
console.log("0 0 * * fri-mon", "later", String(wrapped));
assert.deepStrictEqual(wrapped, SATURDAYS, "fri-mon: the behaviour has changed");
JAVASCRIPT
node "$folder/fires.cjs"
