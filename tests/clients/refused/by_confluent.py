"""What confluent-kafka makes of refusals, as the error codes that its caller gets.

Usage: by_confluent.py records|groups|transactions BOOTSTRAP
"""

from broker import main, once, restart, says
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PATIENCE = 30


def create(bootstrap, topic, partitions=1):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(PATIENCE)
    return admin


def producer(bootstrap, **settings):
    settings = {key.replace("_", "."): value for key, value in settings.items()}
    return Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "reconnect.backoff.max.ms": 200, **settings})


def consumer(bootstrap, group="alone", **settings):
    settings = {key.replace("_", "."): value for key, value in settings.items()}
    return Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False,
                     "enable.partition.eof": True, **settings})


def deliver(sender, topic, *values):
    """Sends; returns the names of the errors."""
    errors = []
    for value in values:
        sender.produce(topic, value, on_delivery=lambda error, _: error and errors.append(error.name()))
    assert sender.flush(PATIENCE) == 0
    return errors


def numbers(*ranges):
    return [str(n) for one in ranges for n in one]


def refused(call, *args):
    """The error that a call ends in."""
    try:
        call(*args)
    except KafkaException as error:
        return error.args[0]
    raise AssertionError("it was not refused")


def poll(reader):
    message = reader.poll(PATIENCE)
    assert message is not None
    return message


def holds(bootstrap, topic, *ranges, isolation="read_committed"):
    """This and no more is read up to the end that this isolation level lets one see."""
    reader = consumer(bootstrap, isolation_level=isolation)
    reader.assign([TopicPartition(topic, 0, 0)])
    found, ended = [], False
    # What was committed is seen once its marker is written, a little after the commit's answer.
    while not ended or len(found) < sum(map(len, ranges)):
        message = poll(reader)
        ended = message.error() is not None
        if ended:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
        else:
            found.append(message.value())
    reader.close()
    once(found, *ranges)


def records(bootstrap):
    admin = create(bootstrap, "t")
    sender = producer(bootstrap, enable_idempotence=True, message_max_bytes=4 << 20)
    [error] = deliver(sender, "t", bytes(2 << 20))
    # The sequence numbers go on behind the one that was refused.
    assert deliver(sender, "t", *numbers(range(100))) == []
    holds(bootstrap, "t", range(100))
    says("too large", error)

    hasty = producer(bootstrap, topic_metadata_propagation_max_ms=0)
    [sent] = deliver(hasty, "unknown", "0")
    reader = consumer(bootstrap)
    reader.subscribe(["unknown"])
    says("unknown topic", f"{sent}, {poll(reader).error().name()}")
    reader.close()
    assert "unknown" not in admin.list_topics(timeout=PATIENCE).topics

    place = TopicPartition("t", 0, 50)
    admin.delete_records([place])[place].result(PATIENCE)
    out_of_range(bootstrap, sender)


def out_of_range(bootstrap, sender):
    def at(offset, reset):
        reader = consumer(bootstrap, auto_offset_reset=reset)
        reader.assign([TopicPartition("t", 0, offset)])
        return reader

    for offset in (10, 1000):
        reader = at(offset, "earliest")
        once([poll(reader).value() for _ in range(50)], range(50, 100))
        reader.close()
    reader = at(10, "latest")
    assert poll(reader).error().code() == KafkaError._PARTITION_EOF
    assert deliver(sender, "t", "100") == []
    assert poll(reader).value() == b"100"
    reader.close()
    reader = at(10, "error")
    says("out of range", f"earliest, latest, {poll(reader).error().name()}")
    reader.close()


def member(bootstrap, group, **settings):
    made = consumer(bootstrap, group, auto_offset_reset="earliest", heartbeat_interval_ms=100, **settings)
    made.subscribe(["g"])
    return made


def first_record(reader):
    """Polls until the member has the topic's partition and a record of it."""
    while True:
        message = reader.poll(PATIENCE)
        if message.error() is None:
            return message


def groups(bootstrap):
    create(bootstrap, "g")
    assert deliver(producer(bootstrap), "g", "0") == []

    times = {"session_timeout_ms": 1000, "max_poll_interval_ms": 1000}
    slow = member(bootstrap, "slow", **times)
    message = first_record(slow)
    # It does not poll any more, so that the other gets its partition.
    other = member(bootstrap, "slow", **times)
    first_record(other)
    error = refused(lambda: slow.commit(message, asynchronous=False))
    says("rebalanced away", error.name())
    other.commit(asynchronous=False)
    slow.close()
    [committed] = other.committed([TopicPartition("g", 0)], PATIENCE)
    assert committed.offset == 1
    other.close()

    first = member(bootstrap, "static", group_instance_id="one")
    message = first_record(first)
    second = member(bootstrap, "static", group_instance_id="one")
    first_record(second)
    error = refused(lambda: first.commit(message, asynchronous=False))
    second.commit(asynchronous=False)
    says("same instance", error.name())
    first.close()
    second.close()


def transactional(bootstrap, **settings):
    made = producer(bootstrap, transactional_id="tx", **settings)
    made.init_transactions(PATIENCE)
    return made


def transactions(bootstrap):
    create(bootstrap, "t")
    sender = transactional(bootstrap)
    ends = {"commit": lambda: sender.commit_transaction(PATIENCE), "abort": lambda: sender.abort_transaction(PATIENCE)}
    for first, end in ((0, "commit"), (1000, "abort"), (50, "commit")):
        sender.begin_transaction()
        assert deliver(sender, "t", *numbers(range(first, first + 50))) == []
        ends[end]()
    holds(bootstrap, "t", range(100))
    holds(bootstrap, "t", range(100), range(1000, 1050), isolation="read_uncommitted")
    says("aborted", "not read")

    for first, end in ((100, "commit"), (2000, "abort"), (200, "commit")):
        committed = range(first if end == "commit" else 200)
        sender.begin_transaction()
        assert deliver(sender, "t", *numbers(range(first, first + 50))) == []
        restart()
        holds(bootstrap, "t", committed)
        assert deliver(sender, "t", *numbers(range(first + 50, first + 100))) == []
        ends[end]()
    holds(bootstrap, "t", range(300))
    says("broker killed", "goes on")

    # The producer that had begun it never comes back.
    sender.begin_transaction()
    assert deliver(sender, "t", *numbers(range(3000, 3050))) == []
    restart()
    successor = transactional(bootstrap)
    holds(bootstrap, "t", range(300))
    successor.begin_transaction()
    assert deliver(successor, "t", *numbers(range(300, 350))) == []
    successor.commit_transaction(PATIENCE)
    holds(bootstrap, "t", range(350))
    says("both gone", "aborted")

    error = refused(sender.commit_transaction, PATIENCE)
    assert error.fatal()
    says("fenced", error.name())
    late = transactional(bootstrap, transaction_timeout_ms=1000)
    late.begin_transaction()
    assert deliver(late, "t", "4000") == []
    timed_out(bootstrap, late)


def timed_out(bootstrap, late):
    """The broker, killed meanwhile, aborts what is open for too long, and refuses its end."""
    restart()
    reader = consumer(bootstrap, isolation_level="read_committed")
    reader.assign([TopicPartition("t", 0, 0)])
    assert deliver(producer(bootstrap), "t", "350") == []
    found = []
    while not found or found[-1] != b"350":
        message = poll(reader)
        if message.error() is None:
            found.append(message.value())
    reader.close()
    once(found, range(351))
    error = refused(late.commit_transaction, PATIENCE)
    says("timed out", error.name())


if __name__ == "__main__":
    main({"records": records, "groups": groups, "transactions": transactions})
