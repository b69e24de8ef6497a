// Writes on and on through the master Service, and goes on over a change of master.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

const KEY = 'clients:ioredis';
const { REDIS_HOST, REDIS_PORT = '6379', REDIS_PASSWORD_FILE, REDIS_PASSWORD, SECONDS, WAIT = '0' } = process.env;
const password = REDIS_PASSWORD_FILE ? readFileSync(REDIS_PASSWORD_FILE, 'utf8').trim() : REDIS_PASSWORD;
const wait = Number(WAIT);

const client = new Redis({
  host: REDIS_HOST,
  port: Number(REDIS_PORT),
  password,
  connectTimeout: 500, // ms; a SYN to a pod that is gone gets no answer: rather try anew
  socketTimeout: 1000, // a connection that owes an answer for so long is given up
  retryStrategy: (retries) => Math.min(20 * 2 ** retries, 500) * (0.5 + Math.random() / 2),
  reconnectOnError: (error) => error.message.startsWith('READONLY'), // this connection leads to the former master
  maxRetriesPerRequest: 3, // a command is sent again after so many attempts to reconnect, or fails
});
client.on('error', () => {}); // it reconnects by itself; the commands fail, and their callers are told

async function write(number) {
  if (!wait) return client.zadd(KEY, number, String(number));
  // Sent, and sent again, together: WAIT is about the writes of its connection. It must end before socketTimeout.
  const [[failure], [waitFailure, replicas]] = await client.pipeline().zadd(KEY, number, String(number)).wait(wait, 500).exec();
  if (failure ?? waitFailure) throw failure ?? waitFailure;
  if (replicas < wait) throw new Error(`${replicas} of ${wait} replicas have it`);
}

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
const lost = writes - await client.zcount(KEY, 1, writes);
const { version } = createRequire(import.meta.url)('ioredis/package.json');
console.log(JSON.stringify({ client: 'ioredis', version, writes, errors, longestGapMs: Math.round(longest), lost }));
client.disconnect();
