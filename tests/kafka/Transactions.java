import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;

/**
 * Apache Kafka's own transactional producer.
 *
 * copy BOOTSTRAP    reads, writes and commits offsets in transactions, of which each third is aborted
 * admin BOOTSTRAP   lists, describes, fences and aborts transactions
 */
class Transactions {
    static final String TEXT = "org.apache.kafka.common.serialization.String";
    static final Duration PATIENCE = Duration.ofMillis(200);
    static final int PARTITIONS = 2;
    static final int RECORDS = 300;

    static Properties settings(String bootstrap) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.serializer", TEXT + "Serializer");
        settings.put("value.serializer", TEXT + "Serializer");
        settings.put("key.deserializer", TEXT + "Deserializer");
        settings.put("value.deserializer", TEXT + "Deserializer");
        return settings;
    }

    static KafkaProducer<String, String> producer(String bootstrap, String id) {
        Properties settings = settings(bootstrap);
        settings.put("transactional.id", id);
        settings.put("linger.ms", "0");
        var producer = new KafkaProducer<String, String>(settings);
        producer.initTransactions();
        return producer;
    }

    static KafkaConsumer<String, String> consumer(String bootstrap, String group, String isolation) {
        Properties settings = settings(bootstrap);
        settings.put("group.id", group);
        settings.put("isolation.level", isolation);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("max.poll.records", "20");
        return new KafkaConsumer<>(settings);
    }

    static void copy(String bootstrap) throws Exception {
        try (var admin = Admin.create(settings(bootstrap))) {
            short one = 1;
            admin.createTopics(List.of(new NewTopic("in", PARTITIONS, one), new NewTopic("out", PARTITIONS, one))).all().get();
        }
        try (var feed = new KafkaProducer<String, String>(settings(bootstrap))) {
            for (int n = 0; n < RECORDS; n++) {
                feed.send(new ProducerRecord<>("in", n % PARTITIONS, null, "" + n));
            }
        }
        var zombie = producer(bootstrap, "java-tx");
        zombie.beginTransaction();
        zombie.send(new ProducerRecord<>("out", "left open")).get();
        try (var producer = producer(bootstrap, "java-tx");
                var source = consumer(bootstrap, "java-group", "read_committed")) {
            try {
                zombie.send(new ProducerRecord<>("out", "too late")).get();
                zombie.commitTransaction();
                throw new AssertionError("the first producer was not fenced");
            } catch (ProducerFencedException | InvalidProducerEpochException | java.util.concurrent.ExecutionException fenced) {
                System.out.println("fenced");
                zombie.close(Duration.ZERO);
            }
            producer.beginTransaction();
            producer.commitTransaction();
            producer.beginTransaction();
            producer.abortTransaction();
            source.subscribe(List.of("in"));
            int count = 0;
            for (int transaction = 1; count < RECORDS; transaction++) {
                var batch = source.poll(PATIENCE);
                if (batch.isEmpty()) {
                    transaction--;
                    continue;
                }
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> read = new HashMap<>();
                for (var record : batch) {
                    producer.send(new ProducerRecord<>("out", record.partition(), null, record.value()));
                    read.put(new TopicPartition("in", record.partition()), new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(read, source.groupMetadata());
                if (transaction % 3 == 0) {
                    producer.flush();
                    producer.abortTransaction();
                    for (var partition : batch.partitions()) {
                        source.seek(partition, batch.records(partition).get(0).offset());
                    }
                } else {
                    producer.commitTransaction();
                    count += batch.count();
                }
            }
            long committed = 0;
            Set<TopicPartition> places = Set.of(new TopicPartition("in", 0), new TopicPartition("in", 1));
            for (var offset : source.committed(places).values()) {
                committed += offset.offset();
            }
            check(committed == RECORDS, "committed " + committed);
        }
        List<String> found = read(bootstrap, "read_committed", RECORDS);
        check(found.size() == RECORDS && new HashSet<>(found).size() == RECORDS, "found " + found.size());
        List<String> all = read(bootstrap, "read_uncommitted", RECORDS + 1);
        check(all.size() > RECORDS && all.contains("left open"), "all " + all.size());
        System.out.println("exactly once");
    }

    static List<String> read(String bootstrap, String isolation, int count) {
        List<String> found = new ArrayList<>();
        try (var reader = consumer(bootstrap, "reader-" + isolation, isolation)) {
            var places = List.of(new TopicPartition("out", 0), new TopicPartition("out", 1));
            reader.assign(places);
            reader.seekToBeginning(places);
            // One more look than it takes, for what should not be there.
            for (boolean more = true; more || found.size() < count;) {
                more = false;
                for (var record : reader.poll(PATIENCE)) {
                    found.add(record.value());
                    more = true;
                }
            }
        }
        return found;
    }

    static void admin(String bootstrap) throws Exception {
        var producer = producer(bootstrap, "java-open");
        producer.beginTransaction();
        producer.send(new ProducerRecord<>("opened", "never")).get();
        var place = new TopicPartition("opened", 0);
        try (var admin = Admin.create(settings(bootstrap))) {
            var listed = admin.listTransactions().all().get();
            check(listed.stream().anyMatch(one -> one.transactionalId().equals("java-open")), "listed " + listed);
            var described = admin.describeTransactions(List.of("java-open")).description("java-open").get();
            check(described.topicPartitions().contains(place), "described " + described);
            var active = admin.describeProducers(List.of(place)).partitionResult(place).get().activeProducers();
            check(active.size() == 1, "active " + active);
            var open = active.get(0);
            var spec = new AbortTransactionSpec(place, open.producerId(), (short) open.producerEpoch(), 0);
            admin.abortTransaction(spec).all().get();
            active = admin.describeProducers(List.of(place)).partitionResult(place).get().activeProducers();
            check(active.get(0).currentTransactionStartOffset().isEmpty(), "aborted " + active);
            admin.fenceProducers(List.of("java-open")).all().get();
            try {
                producer.commitTransaction();
                throw new AssertionError("the producer was not fenced");
            } catch (ProducerFencedException | InvalidProducerEpochException fenced) {
                System.out.println("fenced by its admin");
            }
            producer.close(Duration.ZERO);
        }
    }

    static void check(boolean holds, String found) {
        if (!holds) {
            throw new AssertionError(found);
        }
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "copy" -> copy(args[1]);
            case "admin" -> admin(args[1]);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }
}
