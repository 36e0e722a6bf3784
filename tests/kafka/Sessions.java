import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.log4j.AppenderSkeleton;
import org.apache.log4j.Level;
import org.apache.log4j.Logger;
import org.apache.log4j.spi.LoggingEvent;

/**
 * Apache Kafka's own consumer in an incremental fetch session (KIP-227).
 *
 * BOOTSTRAP TOPIC PARTITIONS ROUNDS   sends a record to one partition after the other, and reads each
 * before it sends the next; says what became of the sessions, as the consumer's own log has it
 */
class Sessions {
    static final AtomicInteger opened = new AtomicInteger();
    static final AtomicInteger incremental = new AtomicInteger();
    static final AtomicInteger refused = new AtomicInteger();

    static void listen() {
        Logger logger = Logger.getLogger("org.apache.kafka.clients.FetchSessionHandler");
        logger.setLevel(Level.DEBUG);
        logger.setAdditivity(false);
        logger.addAppender(new AppenderSkeleton() {
            @Override
            protected void append(LoggingEvent event) {
                String message = event.getRenderedMessage();
                // An answer that comes when the consumer is closing already is taken for a new session's.
                boolean empty = message.contains("with 0 response partition(s)");
                if (message.contains("created a new incremental fetch session") && !empty) {
                    opened.incrementAndGet();
                } else if (message.contains("sent an incremental fetch response")) {
                    incremental.incrementAndGet();
                } else if (message.contains("unable to process") || message.contains("invalid")) {
                    refused.incrementAndGet();
                    System.err.println(message);
                }
            }

            @Override
            public void close() {}

            @Override
            public boolean requiresLayout() {
                return false;
            }
        });
    }

    public static void main(String[] args) throws Exception {
        String topic = args[1];
        int partitions = Integer.parseInt(args[2]);
        int rounds = Integer.parseInt(args[3]);
        listen();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        String text = "org.apache.kafka.common.serialization.String";
        settings.put("key.serializer", text + "Serializer");
        settings.put("value.serializer", text + "Serializer");
        settings.put("key.deserializer", text + "Deserializer");
        settings.put("value.deserializer", text + "Deserializer");
        settings.put("auto.offset.reset", "earliest");
        List<TopicPartition> all =
            IntStream.range(0, partitions).mapToObj(p -> new TopicPartition(topic, p)).toList();
        try (var consumer = new KafkaConsumer<String, String>(settings);
                var producer = new KafkaProducer<String, String>(settings)) {
            consumer.assign(all);
            for (int round = 0; round < rounds; round++) {
                int partition = round * 7 % partitions;
                String value = "value-" + round;
                producer.send(new ProducerRecord<>(topic, partition, null, value)).get();
                boolean found = false;
                while (!found) {
                    for (var record : consumer.poll(Duration.ofMillis(100))) {
                        if (found || !record.value().equals(value) || record.partition() != partition) {
                            throw new IllegalStateException("expected " + value + ", found " + record);
                        }
                        found = true;
                    }
                }
            }
            // A partition that is no longer read, and the others go on.
            consumer.assign(all.subList(1, partitions));
            producer.send(new ProducerRecord<>(topic, 0, null, "unwanted")).get();
            producer.send(new ProducerRecord<>(topic, 1, null, "wanted")).get();
            int wanted = 0;
            while (wanted == 0) {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    if (!record.value().equals("wanted")) {
                        throw new IllegalStateException("expected wanted, found " + record);
                    }
                    wanted++;
                }
            }
        }
        boolean enough = incremental.get() >= rounds;
        System.out.println("opened " + opened + ", refused " + refused + ", an incremental fetch a round: " + enough);
    }
}
