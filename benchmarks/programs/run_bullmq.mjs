// BullMQ on Node: marks.py and producing.py once more, for it cannot import them.
import { randomBytes } from 'node:crypto';
import { linkSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const require = createRequire(join(process.env.BENCH_MODULES, 'package.json'));
const { Queue, Worker } = require('bullmq');

const QUEUE = 'bench', SLOTS = 100, NAP = 10, PAUSE = 12, TOGETHER = 100, LIMIT = 1_000_000;
const [EARLIEST, LATEST, UNTIL_DUE] = [1000, 2000, 2000];  // ms
const work = process.env.BENCH_WORK;
const MANY = Array.from({ length: 200 }, (_, number) => `q${number}`);
const queues = work === 'queues' ? MANY : [QUEUE];
const { hostname, port } = new URL(process.env.BENCH_URL);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const now = () => Number(process.hrtime.bigint());  // ns of CLOCK_MONOTONIC, exact below 2^53
const file = (name) => join(process.env.BENCH_DIRECTORY, name);

let runs = 0, told = 0, counter, samples;

function eight(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(number));
  return bytes;
}

function begin() {
  if (runs++ === 0) {
    writeFileSync(file('started-node'), String(now()));
    linkSync(file('started-node'), file('started'));
    counter = openSync(file('runs-node'), 'w');
    setInterval(() => {  // not at each run, for a write costs more than a count
      if (runs > told) writeSync(counter, eight(told = runs), 0, 8, 0);
    }, 5);
  }
}

const failed = new Set();

const TASKS = {
  noop: async () => begin(),
  nap: async () => { begin(); await sleep(NAP); },
  weigh: async ({ data }) => { if (data.blob) begin(); },
  flaky: async ({ data }) => {
    begin();
    if (!failed.has(data.number)) {
      failed.add(data.number);
      throw new Error('the first run fails');
    }
  },
  stamp: async ({ data }) => {
    const took = now() - data.reference;
    begin();
    samples ??= openSync(file('samples'), 'a');
    writeSync(samples, eight(took));
  },
};

// Keeping no completed jobs asks least of the server: 23 commands a job; 24 with all, 28 with 1,000.
const OPTIONS = { removeOnComplete: true, removeOnFail: 1000 };

function orders(shape, count) {
  if (shape.startsWith('weigh-')) {
    const size = Number(shape.slice('weigh-'.length));
    const blob = randomBytes(size).toString('base64').slice(0, size);  // nothing to compress
    return Array.from({ length: count }, () => ({ name: 'weigh', data: { blob } }));
  }
  const order = {
    mixed: (number) => ({ name: 'noop', data: {}, opts: { priority: number % 3 + 1 } }),
    flaky: (number) => ({ name: 'flaky', data: { number }, opts: { attempts: 4 } }),
    queues: () => ({ name: 'noop', data: {} }),
  }[shape] ?? (() => ({ name: shape, data: {} }));
  return Array.from({ length: count }, (_, number) => order(number));
}

async function produce([kind, ...rest]) {
  const all = queues.map((name) => new Queue(name, { connection, defaultJobOptions: OPTIONS }));
  const queue = all[0];
  await Promise.all(all.map((each) => each.waitUntilReady()));
  const bulk = async (jobs) => {
    for (const [at, each] of all.entries()) {
      const own = jobs.filter((_, number) => number % all.length === at);
      for (let from = 0; from < own.length; from += 1000) {
        await each.addBulk(own.slice(from, from + 1000));
      }
    }
  };
  const lanes = (count, call) => Promise.all(Array.from({ length: TOGETHER }, async (_, lane) => {
    for (let n = lane; n < count; n += TOGETHER) await call();
  }));
  const kinds = {
    single: async (count) => { for (let n = 0; n < count; n++) await queue.add('noop', {}); },
    together: (count) => lanes(count, () => queue.add('noop', {})),
    bulk,
    fill: bulk,
    paced: async (count) => {
      for (let n = 0; n < count; n++) {
        await queue.add('stamp', { reference: now() });
        await sleep(PAUSE * (0.5 + Math.random()));
      }
    },
    delayed: async (count) => {
      for (let n = 0; n < count; n++) {
        const delay = Math.round(EARLIEST + (LATEST - EARLIEST) * Math.random());
        await queue.add('stamp', { reference: now() + delay * 1e6 }, { delay });
      }
    },
    due: async (count) => {
      const wait = UNTIL_DUE + 1000 - (Date.now() + UNTIL_DUE) % 1000;  // until a whole second
      const due = now() + wait * 1e6;
      await lanes(count, () => queue.add('noop', {}, { delay: Math.round((due - now()) / 1e6) }));
      if (now() > due) throw new Error('enqueuing the jobs took longer than their delay');
      return { due };
    },
  };
  if (kind !== 'fill' && kind !== 'due') await queue.add('noop', {});
  const what = kind === 'fill' ? orders(rest[0], Number(rest[1]))
    : kind === 'bulk' ? orders('noop', Number(rest[0])) : Number(rest[0]);
  const began = performance.now(), cpu = process.cpuUsage();
  const answer = await kinds[kind](what);
  const used = process.cpuUsage(cpu);
  console.log(JSON.stringify({
    seconds: (performance.now() - began) / 1000, cpu: (used.user + used.system) / 1e6, ...answer,
  }));
  await Promise.all(all.map((each) => each.close()));
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'produce') {
  await produce(rest);
} else {
  const options = { connection, concurrency: queues.length > 1 ? 1 : SLOTS };
  if (work === 'limited') options.limiter = { max: LIMIT, duration: 1000 };
  const workers = queues.map((name) => new Worker(name, (job) => TASKS[job.name](job), options));
  process.on('SIGTERM', () => Promise.all(workers.map((each) => each.close()))
    .then(() => process.exit(0)));
}
