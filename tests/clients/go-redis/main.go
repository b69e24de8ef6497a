// Writes on and on through the master Service, and goes on over a change of master.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const key = "clients:go-redis"

var (
	ctx     = context.Background()
	client  = connect()
	wait, _ = strconv.Atoi(os.Getenv("WAIT"))
)

func password() string {
	if file := os.Getenv("REDIS_PASSWORD_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		return strings.TrimSpace(string(text))
	}
	return os.Getenv("REDIS_PASSWORD")
}

func connect() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:          os.Getenv("REDIS_HOST") + ":" + port(),
		Password:      password(),
		PoolSize:      16,
		DialTimeout:   500 * time.Millisecond, // a SYN to a pod that is gone gets no answer: rather try anew
		DialerRetries: 1,                      // there are retries enough below
		ReadTimeout:   time.Second,            // longer than the slowest command
		WriteTimeout:  time.Second,
		PoolTimeout:   2 * time.Second,
		// READONLY, too, is tried again, on another connection: the one it came from leads to the former master.
		MaxRetries:      5,
		MinRetryBackoff: 20 * time.Millisecond,
		MaxRetryBackoff: 500 * time.Millisecond,
	})
}

func write(number int) error {
	member := redis.Z{Score: float64(number), Member: number}
	if wait == 0 {
		return client.ZAdd(ctx, key, member).Err()
	}
	// One connection for both: WAIT is about the writes of its connection. It must end before ReadTimeout.
	pipeline := client.Pipeline()
	pipeline.ZAdd(ctx, key, member)
	replicas := pipeline.Do(ctx, "WAIT", wait, 500)
	if _, err := pipeline.Exec(ctx); err != nil {
		return err
	}
	if n, err := replicas.Int(); err != nil || n < wait {
		return fmt.Errorf("%d of %d replicas have it", n, wait)
	}
	return nil
}

func main() {
	seconds, err := strconv.Atoi(os.Getenv("SECONDS"))
	if err != nil {
		panic("SECONDS: " + err.Error())
	}
	if err := client.Del(ctx, key).Err(); err != nil {
		panic(err)
	}
	var writes, errors int
	var longest, longestOfLine time.Duration
	last, line, backoff := time.Now(), time.Now(), 20*time.Millisecond
	for end := line.Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		if time.Since(line) >= time.Second {
			fmt.Printf(`{"at":%d,"writes":%d,"errors":%d,"longestGapMs":%d}`+"\n",
				time.Now().UnixMilli(), writes, errors, longestOfLine.Milliseconds())
			line, longestOfLine = time.Now(), 0
		}
		// The same write until it is acknowledged: repeating it changes nothing.
		if err := write(writes + 1); err != nil {
			fmt.Fprintln(os.Stderr, time.Now().UnixMilli(), err)
			errors++
			time.Sleep(backoff)
			backoff = min(2*backoff, 500*time.Millisecond)
			continue
		}
		gap := time.Since(last)
		if writes > 0 {
			longest, longestOfLine = max(longest, gap), max(longestOfLine, gap)
		}
		last, backoff = last.Add(gap), 20*time.Millisecond
		writes++
		time.Sleep(5 * time.Millisecond)
	}
	held, err := client.ZCount(ctx, key, "1", strconv.Itoa(writes)).Result()
	if err != nil {
		panic(err)
	}
	fmt.Printf(`{"client":"go-redis","version":%q,"writes":%d,"errors":%d,"longestGapMs":%d,"lost":%d}`+"\n",
		redis.Version(), writes, errors, longest.Milliseconds(), writes-int(held))
}

func port() string {
	if port := os.Getenv("REDIS_PORT"); port != "" {
		return port
	}
	return "6379"
}
