"""Two consumers share a topic; one leaves; a third goes on from what was committed.

Usage: groups.py confluent|aiokafka|kafka-python BOOTSTRAP

The client is somebody else's; that it works unchanged is the point.
"""

import sys
import threading

PARTITIONS = 4
RECORDS = 2000


def values(found):
    return sorted(int(value) for value in found)


def confluent(bootstrap):
    from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    for assignor in ["range", "roundrobin", "cooperative-sticky"]:
        topic, group = f"confluent-{assignor}", f"group-{assignor}"
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
        producer = Producer({"bootstrap.servers": bootstrap})

        def produce(first):
            for n in range(first, first + RECORDS):
                producer.produce(topic, str(n), partition=n % PARTITIONS)
                producer.poll(0)
            assert producer.flush(60) == 0

        def consumer():
            made = Consumer({"bootstrap.servers": bootstrap, "group.id": group,
                             "partition.assignment.strategy": assignor,
                             "auto.offset.reset": "earliest", "enable.auto.commit": False,
                             "session.timeout.ms": 6000, "heartbeat.interval.ms": 500})
            made.subscribe([topic])
            return made

        def read(some, count):
            found = []
            while len(found) < count:
                for one in some:
                    message = one.poll(0.05)
                    if message is not None:
                        assert message.error() is None, message.error()
                        found.append(message.value())
            return found

        produce(0)
        first = consumer()
        found = read([first], RECORDS)
        assert values(found) == list(range(RECORDS)), f"{assignor}: one consumer reads all"
        first.commit(asynchronous=False)
        second = consumer()
        # Both poll until each has its half.
        while not (len(first.assignment()) == len(second.assignment()) == PARTITIONS // 2):
            for one in (first, second):
                assert one.poll(0.05) is None, f"{assignor}: nothing is read twice"
        produce(RECORDS)
        found = read([first, second], RECORDS)
        assert values(found) == list(range(RECORDS, 2 * RECORDS)), f"{assignor}: two share"
        described = admin.describe_consumer_groups([group])[group].result(30)
        assert len(described.members) == 2 and described.state.name == "STABLE", described
        first.commit(asynchronous=False)
        second.commit(asynchronous=False)
        first.close()
        while len(second.assignment()) != PARTITIONS:
            assert second.poll(0.05) is None, f"{assignor}: nothing is read twice"
        second.close()
        offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        offsets = offsets[group].result(30).topic_partitions
        assert sum(p.offset for p in offsets) == 2 * RECORDS, offsets
        listed = admin.list_consumer_groups().result(30)
        assert group in [g.group_id for g in listed.valid], listed.valid
        third = consumer()
        produce(2 * RECORDS)
        found = read([third], RECORDS)
        assert values(found) == list(range(2 * RECORDS, 3 * RECORDS)), f"{assignor}: goes on"
        third.close()
        admin.delete_consumer_groups([group])[group].result(30)
        listed = admin.list_consumer_groups().result(30)
        assert group not in [g.group_id for g in listed.valid], listed.valid
        print(f"confluent {assignor}: shared")


def aiokafka(bootstrap):
    import asyncio

    asyncio.run(aiokafka_groups(bootstrap))


async def aiokafka_groups(bootstrap):
    import asyncio

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    topic, group = "aiokafka", "group-aiokafka"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()

    async def produce(first):
        sent = [await producer.send(topic, str(n).encode(), partition=n % PARTITIONS)
                for n in range(first, first + RECORDS)]
        await asyncio.gather(*sent)

    async def consumer():
        made = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group,
                                auto_offset_reset="earliest", enable_auto_commit=False,
                                session_timeout_ms=6000, heartbeat_interval_ms=500)
        await made.start()
        return made

    async def read(some, count):
        found = []
        while len(found) < count:
            for one in some:
                for records in (await one.getmany(timeout_ms=50)).values():
                    found.extend(record.value for record in records)
        return found

    await produce(0)
    first = await consumer()
    assert values(await read([first], RECORDS)) == list(range(RECORDS))
    await first.commit()
    second = await consumer()
    while not (len(first.assignment()) == len(second.assignment()) == PARTITIONS // 2):
        assert not await first.getmany(timeout_ms=50) and not await second.getmany(timeout_ms=50)
    await produce(RECORDS)
    found = await read([first, second], RECORDS)
    assert values(found) == list(range(RECORDS, 2 * RECORDS))
    await first.commit()
    await second.commit()
    await first.stop()
    await second.stop()
    offsets = await admin.list_consumer_group_offsets(group)
    assert sum(offset.offset for offset in offsets.values()) == 2 * RECORDS, offsets
    third = await consumer()
    await produce(2 * RECORDS)
    assert values(await read([third], RECORDS)) == list(range(2 * RECORDS, 3 * RECORDS))
    await third.stop()
    await producer.stop()
    await admin.close()
    print("aiokafka: shared")


def kafka_python(bootstrap):
    from kafka import KafkaConsumer, KafkaProducer
    from kafka.admin import KafkaAdminClient, NewTopic

    topic, group = "kafka-python", "group-kafka-python"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    producer = KafkaProducer(bootstrap_servers=bootstrap)

    def produce(first):
        for n in range(first, first + RECORDS):
            producer.send(topic, str(n).encode(), partition=n % PARTITIONS)
        producer.flush()

    class Reader(threading.Thread):
        """A consumer of its own thread, since a rebalance needs both of them to poll."""

        def __init__(self):
            super().__init__(daemon=True)
            self.consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group,
                                          auto_offset_reset="earliest", enable_auto_commit=True,
                                          auto_commit_interval_ms=100,
                                          session_timeout_ms=6000, heartbeat_interval_ms=500)
            self.found, self.assigned, self.stopped = [], 0, threading.Event()

        def run(self):
            while not self.stopped.is_set():
                # A poll that times out just when the group has answered loses its assignment (kafka-python
                # 3.0.12): so none that is about as long as a rebalance takes.
                for records in self.consumer.poll(timeout_ms=5000).values():
                    self.found.extend(record.value for record in records)
                self.assigned = len(self.consumer.assignment())
            self.consumer.close()

        def stop(self):
            self.stopped.set()
            self.join(60)
            assert not self.is_alive()

    def wait(condition, what):
        waited = threading.Event()
        for _ in range(600):
            if condition():
                return
            waited.wait(0.1)
        raise AssertionError(what)

    produce(0)
    first = Reader()
    first.start()
    wait(lambda: len(first.found) >= RECORDS, "one consumer reads all")
    second = Reader()
    second.start()
    half = PARTITIONS // 2
    wait(lambda: first.assigned == second.assigned == half, "each has its half")
    produce(RECORDS)
    wait(lambda: len(first.found) + len(second.found) >= 2 * RECORDS, "two share")
    assert values(first.found + second.found) == list(range(2 * RECORDS))
    first.stop()
    second.stop()
    third = Reader()
    third.start()
    produce(2 * RECORDS)
    wait(lambda: len(third.found) >= RECORDS, "a third goes on")
    assert values(third.found) == list(range(2 * RECORDS, 3 * RECORDS))
    third.stop()
    print("kafka-python: shared")


if __name__ == "__main__":
    {"confluent": confluent, "aiokafka": aiokafka, "kafka-python": kafka_python}[sys.argv[1]](sys.argv[2])
