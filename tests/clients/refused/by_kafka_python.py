"""What kafka-python makes of refusals, as the exceptions that its caller gets.

Usage: by_kafka_python.py records|groups|transactions BOOTSTRAP
"""

from broker import main, name, once, restart, says
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError

PATIENCE = 30
PLACE = TopicPartition("t", 0)


def create(bootstrap, topic, **settings):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, 1, 1, topic_configs=settings)])
    return admin


def producer(bootstrap, **settings):
    return KafkaProducer(bootstrap_servers=bootstrap, reconnect_backoff_max_ms=200, **settings)


def consumer(bootstrap, **settings):
    return KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=100, **settings)


def deliver(sender, topic, *numbers):
    sent = [sender.send(topic, str(n).encode()) for one in numbers for n in one]
    # Its flush gives up on batches that it splits.
    return [future.get(PATIENCE) for future in sent]


def refused(call):
    """The exception that a call ends in."""
    try:
        call()
    except KafkaError as error:
        return error
    raise AssertionError("it was not refused")


def values(reader, count):
    found = []
    while len(found) < count:
        for messages in reader.poll(timeout_ms=100).values():
            found.extend(message.value for message in messages)
    return found


def read(bootstrap, topic, *ranges, isolation="read_committed"):
    """All values up to the end that this isolation level lets one see, at least so many."""
    place, found = TopicPartition(topic, 0), []
    reader = consumer(bootstrap, isolation_level=isolation, auto_offset_reset="earliest")
    reader.assign([place])
    # What was committed is seen once its marker is written, a little after the commit's answer.
    while len(found) < sum(map(len, ranges)) or reader.position(place) < reader.end_offsets([place])[place]:
        for messages in reader.poll(timeout_ms=100).values():
            found.extend(int(message.value) for message in messages)
    reader.close()
    return found


def holds(bootstrap, topic, *ranges, **isolation):
    """This and no more is read."""
    once(read(bootstrap, topic, *ranges, **isolation), *ranges)


def records(bootstrap):
    admin = create(bootstrap, "t")
    # With idempotence it fails all that follows with the same error, without asking the broker.
    sender = producer(bootstrap, max_request_size=4 << 20, enable_idempotence=False)
    error = refused(lambda: sender.send("t", bytes(2 << 20)).get(PATIENCE))
    deliver(sender, "t", range(100))
    holds(bootstrap, "t", range(100))
    says("too large", name(error))

    create(bootstrap, "small", **{"max.message.bytes": "1000"}).close()
    together = producer(bootstrap, linger_ms=300, batch_size=1 << 20)
    together.partitions_for("small")
    deliver(together, "small", range(1000))
    assert read(bootstrap, "small", range(1000)) == list(range(1000))
    says("batch too large", "split")

    hasty = producer(bootstrap, max_block_ms=500)
    error = refused(lambda: hasty.send("unknown", b"0").get(PATIENCE))
    says("unknown topic", name(error))
    assert "unknown" not in admin.list_topics()

    admin.delete_records({PLACE: 50})
    out_of_range(bootstrap, sender)
    admin.close()


def out_of_range(bootstrap, sender):
    def at(offset, reset):
        reader = consumer(bootstrap, auto_offset_reset=reset)
        reader.assign([PLACE])
        reader.seek(PLACE, offset)
        return reader

    for offset in (10, 1000):
        once(values(at(offset, "earliest"), 50), range(50, 100))
    reader = at(10, "latest")
    while reader.position(PLACE) != 100:
        assert not reader.poll(timeout_ms=50)
    deliver(sender, "t", range(100, 101))
    once(values(reader, 1), range(100, 101))
    error = refused(lambda: values(at(10, "none"), 1))
    says("out of range", f"earliest, latest, {name(error)}")


def member(bootstrap, group, **settings):
    made = consumer(bootstrap, group_id=group, auto_offset_reset="earliest", session_timeout_ms=6000,
                    heartbeat_interval_ms=100, **settings)
    made.subscribe(["g"])
    return made


def groups(bootstrap):
    create(bootstrap, "g").close()
    deliver(producer(bootstrap), "g", range(1))

    # It does not poll any more, so that the other gets its partition.
    slow = member(bootstrap, "slow", max_poll_interval_ms=1000)
    values(slow, 1)
    other = member(bootstrap, "slow", max_poll_interval_ms=1000)
    values(other, 1)
    error = refused(slow.commit)
    says("rebalanced away", name(error))
    other.commit()
    assert other.committed(TopicPartition("g", 0)) == 1
    slow.close()
    other.close()

    first = member(bootstrap, "static", group_instance_id="one")
    values(first, 1)
    second = member(bootstrap, "static", group_instance_id="one")
    values(second, 1)
    error = refused(first.commit)
    second.commit()
    says("same instance", name(error))
    first.close()
    second.close()


def transactional(bootstrap, **settings):
    made = producer(bootstrap, transactional_id="tx", **settings)
    made.init_transactions()
    return made


def transactions(bootstrap):
    create(bootstrap, "t").close()
    sender = transactional(bootstrap)
    for first, end in ((0, sender.commit_transaction), (1000, sender.abort_transaction), (50, sender.commit_transaction)):
        sender.begin_transaction()
        deliver(sender, "t", range(first, first + 50))
        end()
    holds(bootstrap, "t", range(100))
    holds(bootstrap, "t", range(100), range(1000, 1050), isolation="read_uncommitted")
    says("aborted", "not read")

    for committed, first, end in ((100, 100, sender.commit_transaction), (200, 2000, sender.abort_transaction),
                                  (200, 200, sender.commit_transaction)):
        sender.begin_transaction()
        deliver(sender, "t", range(first, first + 50))
        restart()
        holds(bootstrap, "t", range(committed))
        deliver(sender, "t", range(first + 50, first + 100))
        end()
    holds(bootstrap, "t", range(300))
    says("broker killed", "goes on")

    # The producer that had begun it never comes back.
    sender.begin_transaction()
    deliver(sender, "t", range(3000, 3050))
    restart()
    successor = transactional(bootstrap)
    holds(bootstrap, "t", range(300))
    successor.begin_transaction()
    deliver(successor, "t", range(300, 350))
    successor.commit_transaction()
    holds(bootstrap, "t", range(350))
    says("both gone", "aborted")

    error = refused(sender.commit_transaction)
    says("fenced", name(error))
    timed_out(bootstrap)


def timed_out(bootstrap):
    """The broker, killed meanwhile, aborts what is open for too long, and refuses its end."""
    late = transactional(bootstrap, transaction_timeout_ms=1000)
    late.begin_transaction()
    deliver(late, "t", range(4000, 4001))
    restart()
    deliver(producer(bootstrap), "t", range(350, 351))
    reader = consumer(bootstrap, isolation_level="read_committed", auto_offset_reset="earliest")
    reader.assign([PLACE])
    once(values(reader, 351), range(351))
    error = refused(late.commit_transaction)
    says("timed out", name(error))


if __name__ == "__main__":
    main({"records": records, "groups": groups, "transactions": transactions})
