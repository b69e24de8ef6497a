// Writes on and on through the master Service, and goes on over a change of master.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';

const KEY = 'clients:node-redis';
const { REDIS_HOST, REDIS_PORT = '6379', REDIS_PASSWORD_FILE, REDIS_PASSWORD, SECONDS, WAIT = '0' } = process.env;
const password = REDIS_PASSWORD_FILE ? readFileSync(REDIS_PASSWORD_FILE, 'utf8').trim() : REDIS_PASSWORD;
const wait = Number(WAIT);

let client;

async function connect() {
  client = createClient({
    password,
    disableOfflineQueue: true, // without a connection, fail at once: it is the caller who knows how long a write may wait
    socket: {
      host: REDIS_HOST,
      port: Number(REDIS_PORT),
      connectTimeout: 500, // ms; a SYN to a pod that is gone gets no answer: rather try anew
      reconnectStrategy: (retries) => Math.min(20 * 2 ** retries, 500) * (0.5 + Math.random() / 2),
    },
  });
  client.on('error', () => {}); // without a listener, a lost connection ends the process
  await client.connect();
}

// A command that was sent has no timeout of its own in this library, and a silent connection would be kept for many minutes.
// READONLY: this connection leads to the former master. Either way a new one is needed.
async function write(number) {
  const late = new AbortController();
  try {
    return await Promise.race([
      send(number),
      sleep(1000, null, { signal: late.signal }).then(() => { throw new Error('timeout'); }),
    ]);
  } catch (error) {
    if (error.message === 'timeout' || error.message.startsWith('READONLY')) {
      client.destroy();
      connect().catch(() => {}); // goes on by itself until it succeeds
    }
    throw error;
  } finally {
    late.abort();
  }
}

async function send(number) {
  const member = { score: number, value: String(number) };
  if (!wait) return client.zAdd(KEY, member);
  // One connection for both, and none of them sent again alone: WAIT is about the writes of its connection.
  const [, replicas] = await client.multi().zAdd(KEY, member).wait(wait, 500).execAsPipeline();
  if (replicas < wait) throw new Error(`${replicas} of ${wait} replicas have it`);
}

await connect();
await client.del(KEY);
let writes = 0, errors = 0, failures = 0, longest = 0, longestOfLine = 0;
let last = performance.now(), line = last;
const end = last + Number(SECONDS) * 1000;
while (performance.now() < end) {
  if (performance.now() - line >= 1000) {
    console.log(JSON.stringify({ at: Date.now(), writes, errors, longestGapMs: Math.round(longestOfLine) }));
    [line, longestOfLine] = [performance.now(), 0];
  }
  try {
    await write(writes + 1); // the same write until it is acknowledged: repeating it changes nothing
  } catch (error) {
    console.error(Date.now(), error.message);
    errors++;
    await sleep(Math.min(20 * 2 ** failures++, 500));
    continue;
  }
  const now = performance.now();
  if (writes) [longest, longestOfLine] = [Math.max(longest, now - last), Math.max(longestOfLine, now - last)];
  last = now;
  failures = 0;
  writes++;
  await sleep(5);
}
const lost = writes - await client.zCount(KEY, 1, writes);
const { version } = createRequire(import.meta.url)('redis/package.json');
console.log(JSON.stringify({ client: 'node-redis', version, writes, errors, longestGapMs: Math.round(longest), lost }));
client.destroy();
