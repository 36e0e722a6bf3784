"""Reads, writes and commits offsets in transactions: some commit, some abort; a second producer fences the first.

Usage: transactions.py confluent|aiokafka BOOTSTRAP

The client is somebody else's; that it works unchanged is the point.
"""

import sys

PARTITIONS = 2
RECORDS = 300
# Every third transaction is aborted, and its input is read again.
BATCH = 20


def check(values, offsets):
    assert sorted(map(int, values)) == list(range(RECORDS)), "each record exactly once"
    assert sum(offsets) == RECORDS, offsets
    print("exactly once")


def confluent(bootstrap):
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = [NewTopic(name, PARTITIONS, 1) for name in ("in", "out")]
    for made in admin.create_topics(new).values():
        made.result(30)
    feed = Producer({"bootstrap.servers": bootstrap})
    for n in range(RECORDS):
        feed.produce("in", str(n), partition=n % PARTITIONS)
    assert feed.flush(60) == 0

    def transactional():
        made = Producer({"bootstrap.servers": bootstrap, "transactional.id": "confluent-tx",
                         "transaction.timeout.ms": 10000})
        made.init_transactions(30)
        return made

    def consumer(group, isolation):
        return Consumer({"bootstrap.servers": bootstrap, "group.id": group,
                         "isolation.level": isolation, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "enable.partition.eof": True})

    def read_all(isolation):
        reader = consumer(f"reader-{isolation}", isolation)
        reader.assign([TopicPartition("out", p, 0) for p in range(PARTITIONS)])
        found, ends = [], 0
        while ends < PARTITIONS:
            message = reader.poll(30)
            if message.error() is None:
                found.append(message.value())
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                ends += 1
        reader.close()
        return found

    # Nothing at all in a transaction, and one that is left open.
    producer = transactional()
    producer.begin_transaction()
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.abort_transaction(30)
    producer.begin_transaction()
    producer.produce("out", "left open")
    assert producer.flush(30) == 0

    zombie, producer = producer, transactional()
    try:
        zombie.produce("out", "too late")
        zombie.commit_transaction(30)
        raise AssertionError("the first producer was not fenced")
    except KafkaException as fenced:
        assert fenced.args[0].fatal(), fenced
        print("fenced:", fenced.args[0].name())

    source = consumer("confluent-group", "read_committed")
    source.subscribe(["in"])
    count, transactions = 0, 0
    while count < RECORDS:
        batch = []
        while len(batch) < BATCH and count + len(batch) < RECORDS:
            message = source.poll(30)
            if message.error() is None:
                batch.append(message)
        transactions += 1
        producer.begin_transaction()
        for message in batch:
            producer.produce("out", message.value(), partition=message.partition())
        positions = source.position(source.assignment())
        producer.send_offsets_to_transaction(positions, source.consumer_group_metadata(), 30)
        if transactions % 3 == 0:
            producer.flush(30)
            producer.abort_transaction(30)
            firsts = {}
            for message in batch:
                firsts.setdefault(message.partition(), message.offset())
            for partition, offset in firsts.items():
                source.seek(TopicPartition("in", partition, offset))
        else:
            producer.commit_transaction(30)
            count += len(batch)
    source.close()
    committed = read_all("read_committed")
    everything = read_all("read_uncommitted")
    assert len(everything) > len(committed), "aborted records are in the log"
    assert b"left open" in everything and b"left open" not in committed
    reader = consumer("confluent-group", "read_committed")
    places = [TopicPartition("in", p) for p in range(PARTITIONS)]
    check(committed, [place.offset for place in reader.committed(places, 30)])
    reader.close()


def aiokafka(bootstrap):
    import asyncio

    asyncio.run(aiokafka_transactions(bootstrap))


async def aiokafka_transactions(bootstrap):
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from aiokafka.errors import ProducerFenced

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in ("in", "out")])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as feed:
        for n in range(RECORDS):
            await feed.send_and_wait("in", str(n).encode(), partition=n % PARTITIONS)

    async def transactional():
        made = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="aiokafka-tx")
        await made.start()
        return made

    zombie = await transactional()
    await zombie.begin_transaction()
    await zombie.send_and_wait("out", b"left open")
    producer = await transactional()
    try:
        await zombie.send_and_wait("out", b"too late")
        raise AssertionError("the first producer was not fenced")
    except ProducerFenced:
        print("fenced")
    await zombie.stop()

    source = AIOKafkaConsumer("in", bootstrap_servers=bootstrap, group_id="aiokafka-group",
                              isolation_level="read_committed", enable_auto_commit=False,
                              auto_offset_reset="earliest")
    await source.start()
    count, transactions = 0, 0
    while count < RECORDS:
        batch = await source.getmany(timeout_ms=1000, max_records=BATCH)
        transactions += 1
        await producer.begin_transaction()
        offsets = {}
        for place, messages in batch.items():
            for message in messages:
                await producer.send("out", message.value, partition=message.partition)
            offsets[place] = messages[-1].offset + 1
        await producer.send_offsets_to_transaction(offsets, "aiokafka-group")
        if transactions % 3 == 0:
            await producer.abort_transaction()
            for place, messages in batch.items():
                source.seek(place, messages[0].offset)
        else:
            await producer.commit_transaction()
            count += sum(map(len, batch.values()))
    await producer.stop()

    places = [TopicPartition("in", p) for p in range(PARTITIONS)]
    committed = [await source.committed(place) for place in places]
    await source.stop()
    found = []
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed",
                                auto_offset_reset="earliest") as reader:
        reader.assign([TopicPartition("out", p) for p in range(PARTITIONS)])
        while len(found) < RECORDS:
            for messages in (await reader.getmany(timeout_ms=1000)).values():
                found.extend(message.value for message in messages)
    check(found, committed)


if __name__ == "__main__":
    {"confluent": confluent, "aiokafka": aiokafka}[sys.argv[1]](sys.argv[2])
