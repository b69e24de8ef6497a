import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.ThreadLocalRandom;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisException;

/** Writes on and on through the master Service, and goes on over a change of master. */
public class Client {
    static final String KEY = "clients:jedis";
    static final long WAIT = Long.parseLong(env("WAIT", "0"));

    static RedisClient connect() throws Exception {
        var pool = new ConnectionPoolConfig();
        pool.setMaxTotal(16);
        pool.setMaxIdle(16);
        pool.setMaxWait(Duration.ofSeconds(2)); // by default a caller waits for a free connection for ever
        var config = DefaultJedisClientConfig.builder()
                .password(password())
                .connectionTimeoutMillis(500) // a SYN to a pod that is gone gets no answer: rather try anew
                .socketTimeoutMillis(1000) // longer than the slowest command
                .build();
        var address = new HostAndPort(env("REDIS_HOST", "localhost"), Integer.parseInt(env("REDIS_PORT", "6379")));
        return RedisClient.builder().hostAndPort(address).clientConfig(config).poolConfig(pool).build();
    }

    /** Jedis repeats nothing by itself: the caller does. */
    static void write(RedisClient client, long number) {
        try {
            send(client, number);
        } catch (JedisException error) {
            // Where one connection is lost, or leads to the former master, so do the others in the pool.
            if (error instanceof JedisConnectionException || error.getMessage().startsWith("READONLY")) {
                client.getPool().clear();
            }
            throw error;
        }
    }

    static void send(RedisClient client, long number) {
        if (WAIT == 0) {
            client.zadd(KEY, number, Long.toString(number));
            return;
        }
        try (var pipeline = client.pipelined()) { // one connection for both: WAIT is about the writes of its connection
            var written = pipeline.zadd(KEY, number, Long.toString(number));
            var replicas = pipeline.waitReplicas("", (int) WAIT, 500); // ms; less than the socket's timeout
            pipeline.sync();
            written.get();
            if (replicas.get() < WAIT) {
                throw new JedisException(replicas.get() + " of " + WAIT + " replicas have it");
            }
        }
    }

    public static void main(String[] args) throws Exception {
        var client = connect();
        client.del(KEY);
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
                write(client, writes + 1); // the same write until it is acknowledged: repeating it changes nothing
            } catch (JedisException error) {
                errors++;
                System.err.println(System.currentTimeMillis() + " " + error);
                long pause = 20L << Math.min(failures++, 4);
                Thread.sleep(ThreadLocalRandom.current().nextLong(pause / 2, pause)); // not all clients in step
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
        long lost = writes - client.zcount(KEY, 1, writes);
        System.out.printf("{\"client\":\"jedis\",\"version\":\"%s\",\"writes\":%d,\"errors\":%d,\"longestGapMs\":%d,\"lost\":%d}%n",
                version(), writes, errors, longest, lost);
        client.close();
    }

    static String password() throws Exception {
        var file = System.getenv("REDIS_PASSWORD_FILE");
        return file != null ? Files.readString(Path.of(file)).strip() : System.getenv("REDIS_PASSWORD");
    }

    static String version() throws Exception {
        try (var file = RedisClient.class.getResourceAsStream("pom.properties")) {
            var properties = new Properties();
            properties.load(file);
            return properties.getProperty("version");
        }
    }

    static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    static long now() {
        return System.nanoTime() / 1_000_000;
    }
}
