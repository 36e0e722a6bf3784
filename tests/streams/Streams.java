import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Scanner;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * Kafka Streams.
 *
 * words BOOTSTRAP STATE    WordCount, by a repartition topic that is purged and a changelog that is compacted
 * windows BOOTSTRAP STATE  an exactly-once app: events per kind and ten seconds; runs until it is killed
 * check BOOTSTRAP          feeds "windows" and reads it; asks for the app and for the broker to be killed
 */
class Streams {
    static final Duration PATIENCE = Duration.ofMillis(100);
    static final Duration LIMIT = Duration.ofSeconds(90);

    static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[1];
        switch (args[0]) {
            case "words" -> words(args[2]);
            case "windows" -> windows(args[2]);
            case "check" -> check();
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static Properties settings(String application, String state) {
        Properties settings = new Properties();
        settings.put("application.id", application);
        settings.put("bootstrap.servers", bootstrap);
        settings.put("state.dir", state);
        settings.put("default.key.serde", Serdes.StringSerde.class);
        settings.put("default.value.serde", Serdes.StringSerde.class);
        settings.put("commit.interval.ms", "100");
        settings.put("statestore.cache.max.bytes", "0");
        settings.put("num.stream.threads", "2");
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), "6000");
        settings.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), "500");
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        return settings;
    }

    static KafkaStreams start(StreamsBuilder builder, Properties settings) {
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
        return streams;
    }

    static void create(Admin admin, NewTopic... topics) throws Exception {
        admin.createTopics(Arrays.asList(topics)).all().get();
    }

    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    static KafkaProducer<String, String> producer() {
        String text = "org.apache.kafka.common.serialization.StringSerializer";
        return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, "key.serializer", text,
            "value.serializer", text));
    }

    /** A consumer of all partitions, without a group, of what is committed. */
    static KafkaConsumer<String, String> consumer(String topic) {
        String text = "org.apache.kafka.common.serialization.StringDeserializer";
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap,
            "key.deserializer", text, "value.deserializer", text, "isolation.level", "read_committed",
            "auto.offset.reset", "earliest"));
        Collection<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
            .map(partition -> new TopicPartition(topic, partition.partition())).toList();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        return consumer;
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    /** Waits for what others do, asking again and again. */
    static void until(String what, Condition condition) throws Exception {
        Instant end = Instant.now().plus(LIMIT);
        while (!condition.holds()) {
            expect(Instant.now().isBefore(end), "never: " + what);
            Thread.sleep(PATIENCE.toMillis());
        }
    }

    static void expect(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    static String setting(Admin admin, String topic, String name) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name).value();
    }

    static long offsets(Admin admin, String topic, OffsetSpec spec) throws Exception {
        var partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
        Map<TopicPartition, OffsetSpec> asked = new java.util.HashMap<>();
        partitions.forEach(partition -> asked.put(new TopicPartition(topic, partition.partition()), spec));
        long sum = 0;
        for (var answer : admin.listOffsets(asked).all().get().values()) {
            sum += answer.offset();
        }
        return sum;
    }

    // WordCount

    static void words(String state) throws Exception {
        Admin admin = admin();
        create(admin, new NewTopic("lines", 2, (short) 1), new NewTopic("counts", 2, (short) 1));
        StreamsBuilder builder = new StreamsBuilder();
        // The changelog is cut into small segments, so that there is something to compact.
        var log = Map.of("segment.bytes", "2000", "min.cleanable.dirty.ratio", "0.01", "min.compaction.lag.ms", "0");
        builder.<String, String>stream("lines")
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word)
            .count(Materialized.<String, Long, org.apache.kafka.streams.state.KeyValueStore<
                org.apache.kafka.common.utils.Bytes, byte[]>>as("words").withLoggingEnabled(log))
            .mapValues(count -> count.toString())
            .toStream()
            .to("counts");
        Properties settings = settings("wordcount", state + "/first");
        settings.put("repartition.purge.interval.ms", "100");
        Map<String, String> found = new TreeMap<>();
        try (var producer = producer(); var counts = consumer("counts")) {
            KafkaStreams streams = start(builder, settings);
            // Round by round: a batch is never cut, and the last segment is never compacted.
            for (int total = 20; total <= 200; total += 20) {
                feed(producer, counts, found, total);
            }
            String repartition = "wordcount-words-repartition";
            String changelog = "wordcount-words-changelog";
            expect(setting(admin, repartition, "cleanup.policy").equals("delete"), "a repartition topic is deleted");
            expect(setting(admin, repartition, "retention.ms").equals("-1"), "but by Streams alone");
            expect(setting(admin, changelog, "cleanup.policy").equals("compact"), "a changelog is compacted");
            long sent = offsets(admin, repartition, OffsetSpec.latest());
            until("the repartition topic is purged", () ->
                offsets(admin, repartition, OffsetSpec.earliest()) == sent);
            System.out.println("purged");
            streams.close();
            until("the changelog is compacted", () -> size(changelog) < sent / 2);
            System.out.println("compacted");

            // Another machine has no state but what the changelog says.
            settings.put("state.dir", state + "/second");
            streams = start(builder, settings);
            feed(producer, counts, found, 220);
            System.out.println("restored");
            streams.close();
        }
    }

    /** The last twenty of so many lines; each has two words. Waits until the counts say so. */
    static void feed(KafkaProducer<String, String> producer, KafkaConsumer<String, String> counts,
                     Map<String, String> found, int total) throws Exception {
        for (int line = total - 20; line < total; line++) {
            producer.send(new ProducerRecord<>("lines", "" + line, "word" + line % 5 + " all"));
        }
        producer.flush();
        Map<String, String> expected = new TreeMap<>();
        expected.put("all", "" + total);
        for (int word = 0; word < 5; word++) {
            expected.put("word" + word, "" + total / 5);
        }
        until("counts " + expected, () -> {
            counts.poll(PATIENCE).forEach(record -> found.put(record.key(), record.value()));
            return found.equals(expected);
        });
    }

    /** How many records a topic still has. */
    static int size(String topic) throws Exception {
        try (var consumer = consumer(topic)) {
            var ends = consumer.endOffsets(consumer.assignment());
            int count = 0;
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                count += consumer.poll(PATIENCE).count();
            }
            return count;
        }
    }

    // Windows, exactly once

    static void windows(String state) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream("events")
            .groupBy((key, kind) -> kind, Grouped.as("kinds"))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofDays(1)))
            .count(Materialized.as("windows"))
            .toStream()
            .map((window, count) -> KeyValue.pair(window.key() + "@" + window.window().start(), count.toString()))
            .to("windows");
        Properties settings = settings("windowed", state);
        settings.put("processing.guarantee", "exactly_once_v2");
        start(builder, settings);
        System.out.println("started");
    }

    static final int EVENTS = 1200;

    /** Each update is one event more, so a window's counts are 1, 2, 3 and so on, each once. */
    static void check() throws Exception {
        create(admin(), new NewTopic("events", 2, (short) 1), new NewTopic("windows", 1, (short) 1));
        Scanner answers = new Scanner(System.in);
        Map<String, List<Integer>> expected = new TreeMap<>();
        Map<String, List<Integer>> found = new TreeMap<>();
        try (var producer = producer(); var windows = consumer("windows")) {
            ask(answers, "start");
            long start = Instant.parse("2026-01-01T00:00:00Z").toEpochMilli();
            for (int event = 0; event < EVENTS; event++) {
                String kind = "kind" + event % 7;
                long time = start + 50L * event;
                producer.send(new ProducerRecord<>("events", null, time, "" + event, kind));
                var counts = expected.computeIfAbsent(kind + "@" + (time - time % 10_000), k -> new ArrayList<>());
                counts.add(counts.size() + 1);
                if (event % 100 == 99) {
                    producer.flush();
                    // Some are still on their way when it happens.
                    read(windows, found, event - 50);
                }
                switch (event) {
                    case 400 -> ask(answers, "kill");
                    case 800 -> ask(answers, "restart");
                    case 1000 -> ask(answers, "kill");
                    default -> { }
                }
            }
            producer.flush();
            read(windows, found, EVENTS);
            // What would come twice would come before what comes last.
            for (int kind = 0; kind < 7; kind++) {
                producer.send(new ProducerRecord<>("events", null, start + 3_600_000L, "end", "kind" + kind));
                expected.put("kind" + kind + "@" + (start + 3_600_000L), List.of(1));
            }
            producer.flush();
            read(windows, found, EVENTS + 7);
        }
        expect(found.equals(expected), "found " + found + "\nexpected " + expected);
        System.out.println("each count once: " + EVENTS);
    }

    static void read(KafkaConsumer<String, String> windows, Map<String, List<Integer>> found, int total)
            throws Exception {
        until(total + " counts", () -> {
            for (ConsumerRecord<String, String> record : windows.poll(PATIENCE)) {
                found.computeIfAbsent(record.key(), k -> new ArrayList<>()).add(Integer.parseInt(record.value()));
            }
            return found.values().stream().mapToInt(List::size).sum() >= total;
        });
    }

    static void ask(Scanner answers, String what) {
        System.out.println(what);
        expect(answers.nextLine().equals("done"), what + " was not done");
    }
}
