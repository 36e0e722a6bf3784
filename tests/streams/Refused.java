import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * What Apache Kafka's own clients make of refusals, as the exceptions that their callers get.
 *
 * records|groups|transactions BOOTSTRAP
 */
class Refused {
    static final Duration PATIENCE = Duration.ofMillis(100);
    static final TopicPartition PLACE = new TopicPartition("t", 0);
    static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));
    static String bootstrap;

    interface Call {
        void run() throws Exception;
    }

    static Properties settings(String... more) {
        String text = "org.apache.kafka.common.serialization.String";
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.serializer", text + "Serializer");
        settings.put("value.serializer", text + "Serializer");
        settings.put("key.deserializer", text + "Deserializer");
        settings.put("value.deserializer", text + "Deserializer");
        settings.put("reconnect.backoff.max.ms", "200");
        for (int i = 0; i < more.length; i += 2) {
            settings.put(more[i], more[i + 1]);
        }
        return settings;
    }

    static KafkaProducer<String, String> producer(String... more) {
        return new KafkaProducer<>(settings(more));
    }

    static KafkaConsumer<String, String> consumer(String... more) {
        Properties settings = settings(more);
        settings.put("enable.auto.commit", "false");
        settings.put("fetch.max.wait.ms", "100");
        return new KafkaConsumer<>(settings);
    }

    static Admin create(String topic, Map<String, String> configs) throws Exception {
        Admin admin = Admin.create(settings());
        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1).configs(configs))).all().get();
        return admin;
    }

    static List<String> range(int from, int to) {
        return IntStream.range(from, to).mapToObj(Integer::toString).toList();
    }

    static void deliver(KafkaProducer<String, String> producer, String topic, List<String> values) throws Exception {
        List<Future<?>> sent = new ArrayList<>();
        for (String value : values) {
            sent.add(producer.send(new ProducerRecord<>(topic, value)));
        }
        producer.flush();
        for (var one : sent) {
            one.get();
        }
    }

    static void says(String what, String answer) {
        System.out.println(what + ": " + answer);
    }

    static void check(boolean holds, Object found) {
        if (!holds) {
            throw new AssertionError(found);
        }
    }

    /** The exception that a call ends in. */
    static String refused(Call call) {
        try {
            call.run();
        } catch (ExecutionException error) {
            return error.getCause().getClass().getSimpleName();
        } catch (Exception error) {
            return error.getClass().getSimpleName();
        }
        throw new AssertionError("it was not refused");
    }

    /** Asks the test to kill the broker (kill -9) and to start it again; returns when that is done. */
    static void restart() throws Exception {
        System.out.println("restart");
        String answer = INPUT.readLine();
        check("done".equals(answer), answer);
    }

    static List<String> read(KafkaConsumer<String, String> consumer, int count) {
        List<String> found = new ArrayList<>();
        while (found.size() < count) {
            consumer.poll(PATIENCE).forEach(record -> found.add(record.value()));
        }
        return found;
    }

    /** These and no more are read up to the end that this isolation level lets one see. */
    static void holds(String topic, String isolation, List<String> expected) {
        var place = new TopicPartition(topic, 0);
        try (var consumer = consumer("isolation.level", isolation, "auto.offset.reset", "earliest")) {
            consumer.assign(List.of(place));
            // What was committed is seen once its marker is written, a little after the commit's answer.
            var found = read(consumer, expected.size());
            while (consumer.position(place) < consumer.endOffsets(List.of(place)).get(place)) {
                found.addAll(read(consumer, 1));
            }
            check(found.equals(expected), found);
        }
    }

    static void records() throws Exception {
        try (var admin = create("t", Map.of()); var producer = producer("max.request.size", "" + (4 << 20))) {
            says("too large", refused(() -> producer.send(new ProducerRecord<>("t", "x".repeat(2 << 20))).get()));
            // The sequence numbers go on behind the one that was refused.
            deliver(producer, "t", range(0, 100));
            holds("t", "read_committed", range(0, 100));

            batchTooLarge();
            try (var hasty = producer("max.block.ms", "500")) {
                String sent = refused(() -> hasty.send(new ProducerRecord<>("unknown", "0")).get());
                String described = refused(() -> admin.describeTopics(List.of("unknown")).allTopicNames().get());
                says("unknown topic", sent + ", " + described);
            }
            check(!admin.listTopics().names().get().contains("unknown"), "it was created");

            admin.deleteRecords(Map.of(PLACE, RecordsToDelete.beforeOffset(50))).all().get();
            outOfRange(producer);
        }
    }

    /** Batches that compress worse than those before them become larger than was estimated. */
    static void batchTooLarge() throws Exception {
        create("small", Map.of("max.message.bytes", "3000")).close();
        var random = new Random(1);
        var values = range(0, 200).stream().map(n -> n + " ".repeat(1800)).collect(Collectors.toList());
        // A batch waits until all is there that fits by the estimate, however slow the machine is.
        try (var producer = producer("linger.ms", "10000", "batch.size", "2000", "compression.type", "gzip")) {
            for (String value : values) {
                deliver(producer, "small", List.of(value));
            }
            var worse = range(0, 500).stream().map(n -> n + " " + Long.toHexString(random.nextLong())).toList();
            deliver(producer, "small", worse);
            values.addAll(worse);
            holds("small", "read_committed", values);
            var splits = producer.metrics().values().stream().filter(one -> one.metricName().name().equals("batch-split-total"));
            check(splits.anyMatch(one -> (double) one.metricValue() > 0), "no batch was split");
            says("batch too large", "split");
        }
    }

    static KafkaConsumer<String, String> at(long offset, String reset) {
        var consumer = consumer("auto.offset.reset", reset);
        consumer.assign(List.of(PLACE));
        consumer.seek(PLACE, offset);
        return consumer;
    }

    static void outOfRange(KafkaProducer<String, String> producer) throws Exception {
        for (long offset : new long[] {10, 1000}) {
            try (var consumer = at(offset, "earliest")) {
                check(read(consumer, 50).equals(range(50, 100)), offset);
            }
        }
        try (var consumer = at(10, "latest")) {
            while (consumer.position(PLACE) != 100) {
                check(consumer.poll(PATIENCE).isEmpty(), "the end is after all records");
            }
            deliver(producer, "t", range(100, 101));
            check(read(consumer, 1).equals(range(100, 101)), "the new one");
        }
        try (var consumer = at(10, "none")) {
            says("out of range", "earliest, latest, " + refused(() -> read(consumer, 1)));
        }
    }

    static KafkaConsumer<String, String> member(String group, String key, String value) {
        var consumer = consumer("group.id", group, "auto.offset.reset", "earliest", key, value);
        consumer.subscribe(List.of("g"));
        read(consumer, 1);
        return consumer;
    }

    static void groups() throws Exception {
        try (var admin = create("g", Map.of()); var producer = producer()) {
            deliver(producer, "g", range(0, 1));
            // It does not poll any more, so that the other gets its partition.
            try (var slow = member("slow", "max.poll.interval.ms", "1000");
                    var other = member("slow", "max.poll.interval.ms", "1000")) {
                says("rebalanced away", refused(slow::commitSync));
                other.commitSync();
                says("deleted with members", refused(() -> admin.deleteConsumerGroups(List.of("slow")).all().get()));
            }
            try (var first = member("static", "group.instance.id", "one");
                    var second = member("static", "group.instance.id", "one")) {
                says("same instance", refused(first::commitSync));
                second.commitSync();
            }
            try (var removed = member("removed", "group.instance.id", "one")) {
                var members = List.of(new MemberToRemove("one"));
                var options = new RemoveMembersFromConsumerGroupOptions(members);
                admin.removeMembersFromConsumerGroup("removed", options).all().get();
                says("removed by an admin", refused(removed::commitSync));
            }
        }
    }

    static KafkaProducer<String, String> transactional(String... more) {
        Properties settings = settings(more);
        settings.put("transactional.id", "tx");
        settings.put("max.request.size", "" + (4 << 20));
        var producer = new KafkaProducer<String, String>(settings);
        producer.initTransactions();
        return producer;
    }

    static void transact(KafkaProducer<String, String> producer, List<String> values, Call meanwhile, List<String> rest, boolean commits) throws Exception {
        producer.beginTransaction();
        deliver(producer, "t", values);
        meanwhile.run();
        deliver(producer, "t", rest);
        if (commits) {
            producer.commitTransaction();
        } else {
            producer.abortTransaction();
        }
    }

    static void transactions() throws Exception {
        create("t", Map.of()).close();
        var producer = transactional();
        List<String> none = List.of();
        transact(producer, range(0, 50), () -> {}, none, true);
        transact(producer, range(1000, 1050), () -> {}, none, false);
        transact(producer, range(50, 100), () -> {}, none, true);
        holds("t", "read_committed", range(0, 100));
        var all = new ArrayList<>(range(0, 50));
        all.addAll(range(1000, 1050));
        all.addAll(range(50, 100));
        holds("t", "read_uncommitted", all);
        says("aborted", "not read");

        producer.beginTransaction();
        String error = refused(() -> producer.send(new ProducerRecord<>("t", "x".repeat(2 << 20))).get());
        // With the same exception, or one that wraps it: the future is told before the producer knows.
        refused(producer::commitTransaction);
        producer.abortTransaction();
        says("too large", error + ", aborted");

        for (int[] step : new int[][] {{100, 100, 1}, {200, 2000, 0}, {200, 200, 1}}) {
            Call killed = () -> {
                restart();
                holds("t", "read_committed", range(0, step[0]));
            };
            int from = step[1];
            transact(producer, range(from, from + 50), killed, range(from + 50, from + 100), step[2] == 1);
        }
        holds("t", "read_committed", range(0, 300));
        says("broker killed", "goes on");

        // The producer that had begun it never comes back.
        producer.beginTransaction();
        deliver(producer, "t", range(3000, 3050));
        restart();
        try (var successor = transactional()) {
            holds("t", "read_committed", range(0, 300));
            transact(successor, range(300, 350), () -> {}, none, true);
            holds("t", "read_committed", range(0, 350));
            says("both gone", "aborted");
        }
        says("fenced", refused(producer::commitTransaction));
        producer.close(Duration.ZERO);
        timedOut();
    }

    /** The broker, killed meanwhile, aborts what is open for too long, and refuses its end. */
    static void timedOut() throws Exception {
        var late = transactional("transaction.timeout.ms", "1000");
        late.beginTransaction();
        deliver(late, "t", range(4000, 4001));
        restart();
        try (var producer = producer()) {
            deliver(producer, "t", range(350, 351));
        }
        holds("t", "read_committed", range(0, 351));
        says("timed out", refused(late::commitTransaction));
        late.close(Duration.ZERO);
    }

    public static void main(String[] args) throws Exception {
        bootstrap = args[1];
        switch (args[0]) {
            case "records" -> records();
            case "groups" -> groups();
            case "transactions" -> transactions();
            default -> throw new IllegalArgumentException(args[0]);
        }
        System.exit(0);
    }
}
