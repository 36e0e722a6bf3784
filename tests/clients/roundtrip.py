"""Produces and consumes 100,000 records with each codec, and compares them.

Usage: roundtrip.py confluent|aiokafka BOOTSTRAP

The client is somebody else's; that it works unchanged is the point.
"""

import asyncio
import sys

RECORDS = 100_000
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def record(number):
    return f"key-{number % 977}".encode(), f"value {number} ".encode() * (1 + number % 7)


def compare(name, codec, found):
    expected = [record(n) for n in range(RECORDS)]
    assert len(found) == RECORDS, f"{name} {codec}: {len(found)} records of {RECORDS}"
    # A partition keeps its order, so the values of one key come back in order; keys interleave.
    by_key = {}
    for key, value in found:
        by_key.setdefault(key, []).append(value)
    expected_by_key = {}
    for key, value in expected:
        expected_by_key.setdefault(key, []).append(value)
    assert by_key == expected_by_key, f"{name} {codec}: records differ"
    print(f"{name} {codec}: {RECORDS} records equal")


def confluent(bootstrap):
    from confluent_kafka import Consumer, KafkaError, Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    for codec in CODECS:
        topic = f"confluent-{codec}"
        admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(30)
        failures = []
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec,
                             "enable.idempotence": True, "linger.ms": 5})
        for n in range(RECORDS):
            key, value = record(n)
            while True:
                try:
                    producer.produce(topic, value, key, on_delivery=lambda e, m: e and failures.append(e))
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0, "records are left in the queue"
        assert not failures, failures[:3]

        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused",
                             "enable.auto.commit": False, "enable.partition.eof": True,
                             "check.crcs": True})
        from confluent_kafka import TopicPartition
        consumer.assign([TopicPartition(topic, p, 0) for p in range(3)])
        found, at_end = [], set()
        while len(at_end) < 3:
            for message in consumer.consume(10_000, 1.0):
                if message.error():
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    at_end.add(message.partition())
                else:
                    found.append((message.key(), message.value()))
        consumer.close()
        compare("confluent", codec, found)


async def aiokafka(bootstrap):
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

    for codec in ["none", "gzip"]:  # the codecs that need no further package
        topic = f"aiokafka-{codec}"
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5,
                                    compression_type=None if codec == "none" else codec)
        await producer.start()
        futures = []
        for n in range(RECORDS):
            key, value = record(n)
            futures.append(await producer.send(topic, value, key))
        await asyncio.gather(*futures)
        await producer.stop()

        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or [0]]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found = []
        while len(found) < RECORDS:
            batches = await consumer.getmany(timeout_ms=10_000)
            assert batches, f"{len(found)} records, then silence"
            for batch in batches.values():
                found.extend((r.key, r.value) for r in batch)
        await consumer.stop()
        compare("aiokafka", codec, found)


if __name__ == "__main__":
    client, address = sys.argv[1:]
    if client == "confluent":
        confluent(address)
    else:
        asyncio.run(aiokafka(address))
