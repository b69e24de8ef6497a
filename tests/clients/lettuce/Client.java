import io.lettuce.core.ClientOptions;
import io.lettuce.core.ClientOptions.DisconnectedBehavior;
import io.lettuce.core.LettuceFutures;
import io.lettuce.core.LettuceVersion;
import io.lettuce.core.Range;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandTimeoutException;
import io.lettuce.core.RedisException;
import io.lettuce.core.RedisReadOnlyException;
import io.lettuce.core.RedisURI;
import io.lettuce.core.SocketOptions;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.resource.DefaultClientResources;
import io.lettuce.core.resource.Delay;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Writes on and on through the master Service, and goes on over a change of master. */
public class Client {
    static final String KEY = "clients:lettuce";
    static final int WAIT = Integer.parseInt(env("WAIT", "0"));

    final RedisClient client = client();
    StatefulRedisConnection<String, String> connection;

    static RedisClient client() {
        var address = RedisURI.builder()
                .withHost(env("REDIS_HOST", "localhost"))
                .withPort(Integer.parseInt(env("REDIS_PORT", "6379")))
                .withTimeout(Duration.ofSeconds(1)); // longer than the slowest command; the default is a minute
        if (password() != null) {
            address.withPassword(password().toCharArray());
        }
        var resources = DefaultClientResources.builder() // the default waits up to 30 s between two attempts
                .reconnectDelay(Delay.fullJitter(Duration.ofMillis(20), Duration.ofMillis(500), 20, TimeUnit.MILLISECONDS))
                .build();
        var client = RedisClient.create(resources, address.build());
        client.setOptions(ClientOptions.builder()
                // A SYN to a pod that is gone gets no answer: rather try anew.
                .socketOptions(SocketOptions.builder().connectTimeout(Duration.ofMillis(500)).build())
                // Without a connection, fail at once: it is the caller who knows how long a write may wait.
                .disconnectedBehavior(DisconnectedBehavior.REJECT_COMMANDS)
                // Nothing is sent again behind the caller's back, least of all a WAIT without its write.
                .replayFilter(command -> true)
                .build());
        return client;
    }

    /**
     * Lettuce reconnects when a connection is lost, but keeps one that is silent, and one that leads to the former master.
     * Those are closed here; the next write opens another.
     */
    void write(long number) {
        try {
            if (connection == null) {
                connection = client.connect();
            }
            send(number);
        } catch (RedisCommandTimeoutException | RedisReadOnlyException error) {
            if (connection != null) {
                connection.closeAsync();
                connection = null;
            }
            throw error;
        }
    }

    void send(long number) {
        if (WAIT == 0) {
            connection.sync().zadd(KEY, number, Long.toString(number));
            return;
        }
        // Both at once, on one connection: WAIT is about the writes of its connection, and this one may be made anew.
        var written = connection.async().zadd(KEY, number, Long.toString(number));
        var replicas = connection.async().waitForReplication(WAIT, 500); // ms; less than the timeout
        LettuceFutures.awaitOrCancel(written, 1, TimeUnit.SECONDS);
        if (LettuceFutures.awaitOrCancel(replicas, 1, TimeUnit.SECONDS) < WAIT) {
            throw new RedisException("less than " + WAIT + " replicas have it");
        }
    }

    void run() throws InterruptedException {
        connection = client.connect();
        connection.sync().del(KEY);
        long writes = 0, errors = 0, failures = 0, longest = 0, longestOfLine = 0;
        long last = now(), line = now(), end = now() + 1000 * Long.parseLong(System.getenv("SECONDS"));
        while (now() < end) {
            if (now() - line >= 1000) {
                System.out.printf("{\"at\":%d,\"writes\":%d,\"errors\":%d,\"longestGapMs\":%d}%n",
                        System.currentTimeMillis(), writes, errors, longestOfLine);
                line = now();
                longestOfLine = 0;
            }
            try {
                write(writes + 1); // the same write until it is acknowledged: repeating it changes nothing
            } catch (RedisException error) {
                errors++;
                System.err.println(System.currentTimeMillis() + " " + error);
                Thread.sleep(20L << Math.min(failures++, 4));
                continue;
            }
            long gap = now() - last;
            if (writes > 0) {
                longest = Math.max(longest, gap);
                longestOfLine = Math.max(longestOfLine, gap);
            }
            last += gap;
            failures = 0;
            writes++;
            Thread.sleep(5);
        }
        long lost = writes - connection.sync().zcount(KEY, Range.create(1, writes));
        System.out.printf("{\"client\":\"lettuce\",\"version\":\"%s\",\"writes\":%d,\"errors\":%d,\"longestGapMs\":%d,\"lost\":%d}%n",
                LettuceVersion.getVersion().split("/")[0], writes, errors, longest, lost);
    }

    public static void main(String[] args) throws InterruptedException {
        new Client().run();
        System.exit(0); // Lettuce's threads would take two quiet seconds
    }

    static String password() {
        try {
            var file = System.getenv("REDIS_PASSWORD_FILE");
            return file != null ? Files.readString(Path.of(file)).strip() : System.getenv("REDIS_PASSWORD");
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    static long now() {
        return System.nanoTime() / 1_000_000;
    }
}
