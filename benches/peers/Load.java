import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.zip.GZIPInputStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Load by Kafka's own Java clients, with their defaults. One process for all runs against all brokers, so
 * that the clients are equally warm. Commands come line by line, KEY=VALUE with spaces between; each
 * is answered by a line of JSON.
 *
 * create  bootstrap topic partitions [flush.messages]             and a record in each partition
 * delete  bootstrap topic
 * produce bootstrap topic size acks codec warmup seconds          as fast as it goes, one producer
 * fill    bootstrap topic size codec records                      in full batches
 * consume bootstrap topic partitions                              all there is, from the beginning
 * e2e     bootstrap topic partitions size acks warmup seconds rate   open loop, from the intended time
 */
class Load {
    /** The due time of records that do not count. */
    static final long BEFORE_ALL = -1;
    static byte[] text;

    public static void main(String[] args) throws Exception {
        try (var data = new GZIPInputStream(new FileInputStream(args[0]))) {
            text = data.readAllBytes();
        }
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.trim().split(" +");
            Map<String, String> with = new HashMap<>();
            for (String word : Arrays.copyOfRange(words, 1, words.length)) {
                int at = word.indexOf('=');
                with.put(word.substring(0, at), word.substring(at + 1));
            }
            Map<String, Object> answer = new TreeMap<>();
            try {
                run(words[0], with, answer);
            } catch (Exception error) {
                answer.put("error", '"' + error.toString().replace('"', '\'').replace('\\', '/') + '"');
            }
            var fields = new ArrayList<String>();
            answer.forEach((key, value) -> fields.add('"' + key + "\": " + value));
            System.out.println("{" + String.join(", ", fields) + "}");
        }
    }

    static void run(String verb, Map<String, String> with, Map<String, Object> answer) throws Exception {
        long before = cpu();
        long start = System.nanoTime();
        switch (verb) {
            case "create" -> create(with);
            case "delete" -> delete(with);
            case "produce" -> produce(with, answer);
            case "fill" -> fill(with);
            case "consume" -> consume(with, answer);
            case "e2e" -> e2e(with, answer);
            default -> throw new IllegalArgumentException("unknown command " + verb);
        }
        answer.put("client_cpu", (double) (cpu() - before) / (System.nanoTime() - start));
    }

    /** Nanoseconds of processor time of this process. */
    static long cpu() {
        var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime();
    }

    /** The processor time of the busiest thread whose name begins so, and of this one. */
    static long[] threads(String start) {
        var threads = ManagementFactory.getThreadMXBean();
        long most = 0;
        for (long id : threads.getAllThreadIds()) {
            var info = threads.getThreadInfo(id);
            if (info != null && info.getThreadName().startsWith(start)) {
                most = Math.max(most, threads.getThreadCpuTime(id));
            }
        }
        return new long[] {threads.getCurrentThreadCpuTime(), most};
    }

    static Properties settings(Map<String, String> with) {
        var settings = new Properties();
        settings.put("bootstrap.servers", with.get("bootstrap"));
        String bytes = "org.apache.kafka.common.serialization.ByteArray";
        settings.put("key.serializer", bytes + "Serializer");
        settings.put("value.serializer", bytes + "Serializer");
        settings.put("key.deserializer", bytes + "Deserializer");
        settings.put("value.deserializer", bytes + "Deserializer");
        return settings;
    }

    static KafkaProducer<byte[], byte[]> producer(Map<String, String> with) {
        var settings = settings(with);
        settings.put("acks", with.get("acks"));
        settings.put("linger.ms", with.getOrDefault("linger.ms", "0"));
        settings.put("compression.type", with.getOrDefault("codec", "none"));
        return new KafkaProducer<>(settings);
    }

    static KafkaConsumer<byte[], byte[]> consumer(Map<String, String> with) {
        var consumer = new KafkaConsumer<byte[], byte[]>(settings(with));
        var partitions = new ArrayList<TopicPartition>();
        for (int number = 0; number < Integer.parseInt(with.get("partitions")); number++) {
            partitions.add(new TopicPartition(with.get("topic"), number));
        }
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        return consumer;
    }

    static void create(Map<String, String> with) throws Exception {
        var topic = new NewTopic(with.get("topic"), Integer.parseInt(with.get("partitions")), (short) 1);
        if (with.containsKey("flush.messages")) {
            topic.configs(Map.of("flush.messages", with.get("flush.messages")));
        }
        try (var admin = Admin.create(settings(with))) {
            admin.createTopics(List.of(topic)).all().get();
        }
        // A partition that has no leader yet refuses the first batch of an idempotent producer and may take its
        // second, and then never the first: so one record to each, until it is taken.
        var settings = settings(with);
        settings.put("enable.idempotence", "false");
        byte[] value = ByteBuffer.allocate(8).putLong(BEFORE_ALL).array();
        try (var producer = new KafkaProducer<byte[], byte[]>(settings)) {
            for (int number = 0; number < topic.numPartitions(); number++) {
                producer.send(new ProducerRecord<>(with.get("topic"), number, null, value)).get();
            }
        }
    }

    static void delete(Map<String, String> with) throws Exception {
        try (var admin = Admin.create(settings(with))) {
            admin.deleteTopics(List.of(with.get("topic"))).all().get();
        }
    }

    /** The next value: a piece of the text. */
    static byte[] value(int size, long number) {
        int at = (int) (number * size % (text.length - size));
        return Arrays.copyOfRange(text, at, at + size);
    }

    static void produce(Map<String, String> with, Map<String, Object> answer) {
        int size = Integer.parseInt(with.get("size"));
        long warm = nanos(with.get("warmup"));
        long end = warm + nanos(with.get("seconds"));
        String topic = with.get("topic");
        var acked = new AtomicLong();
        var failed = new AtomicLong();
        long sent = 0;
        try (var producer = producer(with)) {
            producer.partitionsFor(topic);
            long start = System.nanoTime();
            long ackedWarm = 0;
            long[] threadsWarm = null;
            for (long now = 0; now < end; now = System.nanoTime() - start) {
                if (threadsWarm == null && now >= warm) {
                    ackedWarm = acked.get();
                    threadsWarm = threads("kafka-producer-network-thread");
                }
                producer.send(new ProducerRecord<>(topic, value(size, sent)), (metadata, error) ->
                    count(error, acked, failed));
                sent++;
            }
            double seconds = (System.nanoTime() - start - warm) / 1e9;
            answer.put("rate", (acked.get() - ackedWarm) / seconds);
            long[] threads = threads("kafka-producer-network-thread");
            answer.put("thread", (threads[0] - threadsWarm[0]) / seconds / 1e9);
            answer.put("network_thread", (threads[1] - threadsWarm[1]) / seconds / 1e9);
        }
        answer.put("records", acked.get());
        answer.put("failed", failed.get());
    }

    /**
     * Batches are full and partitions are equally long whatever the broker's speed, so that the same bytes are read
     * from each. (The producer's own choice favours partitions with short queues, and where one is much shorter than the
     * others, a consumer that is at its end waits there for fetch.max.wait.ms while the others have records.)
     */
    static void fill(Map<String, String> with) {
        int size = Integer.parseInt(with.get("size"));
        int partitions = Integer.parseInt(with.get("partitions"));
        var failed = new AtomicLong();
        try (var producer = producer(with)) {
            for (long number = 0; number < Long.parseLong(with.get("records")); number++) {
                int partition = (int) (number % partitions);
                var record = new ProducerRecord<byte[], byte[]>(with.get("topic"), partition, null, value(size, number));
                producer.send(record, (metadata, error) -> count(error, new AtomicLong(), failed));
            }
        }
        if (failed.get() > 0) {
            throw new IllegalStateException(failed.get() + " records were not stored");
        }
    }

    static void count(Exception error, AtomicLong acked, AtomicLong failed) {
        if (error == null) {
            acked.incrementAndGet();
        } else if (failed.incrementAndGet() == 1) {
            System.err.println("not stored: " + error);
        }
    }

    static void consume(Map<String, String> with, Map<String, Object> answer) {
        try (var consumer = consumer(with)) {
            long all = 0;
            for (long end : consumer.endOffsets(consumer.assignment()).values()) {
                all += end;
            }
            long start = System.nanoTime();
            long threads = threads("-")[0];
            long records = 0;
            while (records < all) {
                records += consumer.poll(Duration.ofMillis(500)).count();
                if (System.nanoTime() - start > nanos("60")) {
                    throw new IllegalStateException("read only " + records + " of " + all);
                }
            }
            double seconds = (System.nanoTime() - start) / 1e9;
            answer.put("rate", records / seconds);
            answer.put("records", records);
            answer.put("failed", 0);
            answer.put("thread", (threads("-")[0] - threads) / seconds / 1e9);
        }
    }

    static void e2e(Map<String, String> with, Map<String, Object> answer) throws Exception {
        int size = Integer.parseInt(with.get("size"));
        long rate = Long.parseLong(with.get("rate"));
        long warm = nanos(with.get("warmup"));
        long end = warm + nanos(with.get("seconds"));
        var failed = new AtomicLong();
        var isOver = new AtomicBoolean();
        var received = new AtomicLong();
        var latencies = new Numbers();
        var lateness = new Numbers();
        long zero = System.nanoTime() + nanos("1");
        var reading = new Thread(() -> {
            try (var consumer = consumer(with)) {
                while (!isOver.get()) {
                    var records = consumer.poll(Duration.ofMillis(100));
                    long at = System.nanoTime() - zero;
                    for (var record : records) {
                        long due = ByteBuffer.wrap(record.value()).getLong();
                        if (due >= warm) {
                            latencies.add(at - due);
                        }
                        if (due != BEFORE_ALL) {
                            received.incrementAndGet();
                        }
                    }
                }
            }
        });
        reading.start();
        long sent = 0;
        try (var producer = producer(with)) {
            producer.partitionsFor(with.get("topic"));
            for (long due = 0; due < end; due = (long) (++sent * 1e9 / rate)) {
                long wait = due - (System.nanoTime() - zero);
                for (; wait > 0; wait = due - (System.nanoTime() - zero)) {
                    LockSupport.parkNanos(wait);
                }
                if (due >= warm) {
                    lateness.add(-wait);
                }
                byte[] value = value(size, sent);
                ByteBuffer.wrap(value).putLong(due);
                producer.send(new ProducerRecord<>(with.get("topic"), value), (metadata, error) -> {
                    if (error != null) {
                        failed.incrementAndGet();
                    }
                });
            }
        }
        long patience = System.nanoTime() + nanos("20");
        while (received.get() < sent - failed.get() && System.nanoTime() < patience) {
            LockSupport.parkNanos(1_000_000);
        }
        isOver.set(true);
        reading.join();
        answer.put("records", received.get());
        answer.put("failed", sent - received.get());
        answer.put("p50", latencies.millisAt(0.5));
        answer.put("p99", latencies.millisAt(0.99));
        answer.put("p999", latencies.millisAt(0.999));
        answer.put("late_p99", lateness.millisAt(0.99));
    }

    static long nanos(String seconds) {
        return (long) (Double.parseDouble(seconds) * 1e9);
    }

    /** Numbers that one thread collects. */
    static class Numbers {
        long[] all = new long[1 << 20];
        int count;

        void add(long number) {
            if (count == all.length) {
                all = Arrays.copyOf(all, count * 2);
            }
            all[count++] = number;
        }

        double millisAt(double part) {
            if (count == 0) {
                return -1;
            }
            long[] sorted = Arrays.copyOf(all, count);
            Arrays.sort(sorted);
            return sorted[(int) (part * (count - 1))] / 1e6;
        }
    }
}
