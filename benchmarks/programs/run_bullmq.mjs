// BullMQ on Node: marks.py and producing.py once more, for it cannot import them.
import { renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const require = createRequire(join(process.env.BENCH_MODULES, 'package.json'));
const { Queue, Worker } = require('bullmq');

const QUEUE = 'bench', SLOTS = 100, NAP = 10, PAUSE = 20, TOGETHER = 100;
const { hostname, port } = new URL(process.env.BENCH_URL);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const now = () => Number(process.hrtime.bigint());  // ns of CLOCK_MONOTONIC, exact below 2^53
const wanted = Number(process.env.BENCH_SAMPLES ?? 0);

let started = false;
const samples = [];

function publish(name, value) {
  const path = join(process.env.BENCH_DIRECTORY, name);
  writeFileSync(`${path}.part`, JSON.stringify(value));
  renameSync(`${path}.part`, path);
}

function begin() {
  if (!started) {
    started = true;
    publish('started', now());
  }
}

const TASKS = {
  noop: async () => begin(),
  nap: async () => { begin(); await sleep(NAP); },
  stamp: async ({ data }) => {
    samples.push(now() - data.reference);
    if (samples.length === wanted) publish('samples', samples);
  },
};

// Keeping no completed jobs asks least of the server: 23 commands a job; 24 with all, 28 with 1,000.
const OPTIONS = { removeOnComplete: true, removeOnFail: 1000 };

async function produce([kind, ...rest]) {
  const queue = new Queue(QUEUE, { connection, defaultJobOptions: OPTIONS });
  await queue.waitUntilReady();
  const bulk = async (task, count) => {
    for (let at = 0; at < count; at += 1000) {
      const size = Math.min(1000, count - at);
      await queue.addBulk(Array.from({ length: size }, () => ({ name: task, data: {} })));
    }
  };
  const kinds = {
    single: async (count) => { for (let n = 0; n < count; n++) await queue.add('noop', {}); },
    together: async (count) => {
      const lane = async () => {
        for (let n = 0; n < count / TOGETHER; n++) await queue.add('noop', {});
      };
      await Promise.all(Array.from({ length: TOGETHER }, lane));
    },
    bulk: async (count) => bulk('noop', Number(count)),
    fill: async (task, count) => bulk(task, Number(count)),
    paced: async (count) => {
      for (let n = 0; n < count; n++) {
        await queue.add('stamp', { reference: now() });
        await sleep(PAUSE * (0.5 + Math.random()));
      }
    },
    delayed: async (count) => {
      for (let n = 0; n < count; n++) {
        const delay = Math.round(1000 + 2000 * Math.random());
        await queue.add('stamp', { reference: now() + delay * 1e6 }, { delay });
      }
    },
  };
  if (kind !== 'fill') await queue.add('noop', {});
  const began = performance.now();
  await kinds[kind](...rest);
  console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000 }));
  await queue.close();
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'produce') {
  await produce(rest);
} else {
  const worker = new Worker(QUEUE, (job) => TASKS[job.name](job), { connection, concurrency: SLOTS });
  process.on('SIGTERM', () => worker.close().then(() => process.exit(0)));
}
