import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * Apache Kafka's own consumer in groups.
 *
 * read BOOTSTRAP TOPIC GROUP COUNT   reads so many records from where the group is, commits, prints them
 * share BOOTSTRAP TOPIC GROUP        two consumers have a partition each; one leaves, the other has both
 */
class Group {
    static final Duration PATIENCE = Duration.ofMillis(100);

    static KafkaConsumer<String, String> consumer(String bootstrap, String group) {
        Properties settings = new Properties();
        String text = "org.apache.kafka.common.serialization.StringDeserializer";
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("key.deserializer", text);
        settings.put("value.deserializer", text);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "300");
        return new KafkaConsumer<>(settings);
    }

    static void read(String bootstrap, String topic, String group, int count) {
        try (var consumer = consumer(bootstrap, group)) {
            consumer.subscribe(List.of(topic));
            Map<TopicPartition, OffsetAndMetadata> read = new HashMap<>();
            while (count > 0) {
                for (var record : consumer.poll(PATIENCE)) {
                    if (count == 0) {
                        break;
                    }
                    System.out.println(record.partition() + " " + record.offset() + " " + record.value());
                    var partition = new TopicPartition(record.topic(), record.partition());
                    read.put(partition, new OffsetAndMetadata(record.offset() + 1, "read by " + group));
                    count--;
                }
            }
            consumer.commitSync(read);
        }
    }

    static void share(String bootstrap, String topic, String group) throws Exception {
        AtomicInteger left = new AtomicInteger();
        Runnable member = () -> {
            try (var consumer = consumer(bootstrap, group)) {
                consumer.subscribe(List.of(topic));
                // Both go on polling until each has its half, as a rebalance waits for both.
                while (left.get() == 0 && !(consumer.assignment().size() == 1 && isStable(bootstrap, group))) {
                    consumer.poll(PATIENCE);
                }
                if (left.getAndIncrement() == 0) {
                    return;
                }
                while (consumer.assignment().size() != 2) {
                    consumer.poll(PATIENCE);
                }
                System.out.println("shared");
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        };
        Thread first = new Thread(member);
        Thread second = new Thread(member);
        first.start();
        second.start();
        first.join();
        second.join();
    }

    static boolean isStable(String bootstrap, String group) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            return described.members().size() == 2 && described.state().toString().equals("Stable");
        }
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "read" -> read(args[1], args[2], args[3], Integer.parseInt(args[4]));
            case "share" -> share(args[1], args[2], args[3]);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }
}
