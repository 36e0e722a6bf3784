import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;

/**
 * What Apache Kafka's own admin client is told of replicas, leaders and features, a line each.
 *
 * BOOTSTRAP TOPIC
 */
class Cluster {
    static String outcome(KafkaFuture<?> future) throws Exception {
        try {
            future.get();
            return "done";
        } catch (ExecutionException error) {
            return error.getCause().getClass().getSimpleName();
        }
    }

    public static void main(String[] args) throws Exception {
        String topic = args[1];
        TopicPartition first = new TopicPartition(topic, 0);
        try (var admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            var partitions = described.partitions();
            boolean led = partitions.stream().allMatch(p -> p.leader().id() == 1 && p.replicas().size() == 1);
            System.out.println("described " + partitions.size() + ", led " + led);

            var elected = admin.electLeaders(ElectionType.PREFERRED, Set.of(first)).partitions().get();
            System.out.println("elected: " + elected.get(first).get().getClass().getSimpleName());
            var all = admin.electLeaders(ElectionType.PREFERRED, null).partitions().get();
            System.out.println("elected of all: " + all.size());

            for (List<Integer> replicas : List.of(List.of(1), List.of(2))) {
                var moved = Map.of(first, Optional.of(new NewPartitionReassignment(replicas)));
                System.out.println("moved to " + replicas + ": " + outcome(admin.alterPartitionReassignments(moved).all()));
            }
            var cancelled = Map.of(first, Optional.<NewPartitionReassignment>empty());
            System.out.println("cancelled: " + outcome(admin.alterPartitionReassignments(cancelled).all()));
            System.out.println("moving: " + admin.listPartitionReassignments().reassignments().get().size());

            var features = admin.describeFeatures().featureMetadata().get().finalizedFeatures();
            short holds = features.get("transaction.version").maxVersionLevel();
            for (int level : new int[] {holds, holds + 1}) {
                var update = new FeatureUpdate((short) level, FeatureUpdate.UpgradeType.UPGRADE);
                var updated = admin.updateFeatures(
                    Collections.singletonMap("transaction.version", update), new UpdateFeaturesOptions());
                System.out.println("feature to " + level + ": " + outcome(updated.all()));
            }
            Uuid id = admin.clientInstanceId(java.time.Duration.ofSeconds(30));
            System.out.println("instance id: " + !id.equals(Uuid.ZERO_UUID));
        }
    }
}
