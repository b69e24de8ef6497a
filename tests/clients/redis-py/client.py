"""Writes on and on through the master Service, and goes on over a change of master."""

import json
import os
import sys
import time

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError, ReadOnlyError, RedisError, TimeoutError
from redis.retry import Retry

KEY = "clients:redis-py"


def password():
    file = os.environ.get("REDIS_PASSWORD_FILE")
    return open(file).read().strip() if file else os.environ.get("REDIS_PASSWORD")


client = redis.Redis(
    host=os.environ["REDIS_HOST"],
    port=int(os.environ.get("REDIS_PORT", "6379")),
    password=password(),
    max_connections=16,
    socket_connect_timeout=0.5,  # a SYN to a pod that is gone gets no answer: rather try anew
    socket_timeout=1,  # longer than the slowest command
    health_check_interval=10,  # a connection that was idle for longer is tried before it is used
    # Before each retry the connection is closed, so it leads to the master of then. READONLY: this one leads to the former.
    retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.5), retries=3),
    retry_on_error=[ConnectionError, TimeoutError, ReadOnlyError],
)
wait = int(os.environ.get("WAIT", "0"))


def write(number):
    if not wait:
        client.zadd(KEY, {number: number})
        return
    pipeline = client.pipeline(transaction=False)  # one connection for both: WAIT is about the writes of its connection
    pipeline.zadd(KEY, {number: number})
    pipeline.wait(wait, 500)  # ms; less than socket_timeout
    _, replicas = pipeline.execute()
    if replicas < wait:
        raise RedisError(f"{replicas} of {wait} replicas have it")


def main():
    began = last = line = time.monotonic()
    end = began + float(os.environ["SECONDS"])
    writes = errors = failures = 0
    longest = longest_of_line = 0.0
    while (now := time.monotonic()) < end:
        if now - line >= 1:
            print(json.dumps({"at": int(time.time() * 1000), "writes": writes, "errors": errors,
                              "longestGapMs": round(longest_of_line * 1000)}), flush=True)
            line, longest_of_line = now, 0.0
        try:
            write(writes + 1)  # the same write until it is acknowledged: repeating it changes nothing
        except RedisError as error:
            print(int(time.time() * 1000), repr(error), file=sys.stderr)
            errors += 1
            failures += 1
            time.sleep(0.02 * 2 ** min(failures, 5))
            continue
        now = time.monotonic()
        if writes:
            longest, longest_of_line = max(longest, now - last), max(longest_of_line, now - last)
        last, writes, failures = now, writes + 1, 0
        time.sleep(0.005)
    lost = writes - client.zcount(KEY, 1, writes)
    print(json.dumps({"client": "redis-py", "version": redis.__version__, "writes": writes, "errors": errors,
                      "longestGapMs": round(longest * 1000), "lost": lost}))


client.delete(KEY)
main()
