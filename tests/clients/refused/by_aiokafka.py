"""What aiokafka makes of refusals, as the exceptions that its caller gets.

Usage: by_aiokafka.py records|groups|transactions BOOTSTRAP
"""

import asyncio
import threading

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.errors import KafkaError
from broker import main, name, once, restart, says

PATIENCE = 30
PLACE = TopicPartition("t", 0)


async def create(bootstrap, topic):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    return admin


def producer(bootstrap, **settings):
    return AIOKafkaProducer(bootstrap_servers=bootstrap, **settings)


def consumer(bootstrap, **settings):
    return AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=100, **settings)


async def deliver(sender, topic, *numbers):
    sent = [await sender.send(topic, str(n).encode()) for one in numbers for n in one]
    await asyncio.gather(*sent)


async def refused(what):
    """The exception that something ends in."""
    try:
        await asyncio.wait_for(what, PATIENCE)
    except KafkaError as error:
        return error
    raise AssertionError("it was not refused")


async def holds(bootstrap, topic, *ranges, isolation="read_committed"):
    """This and no more is read up to the end that this isolation level lets one see."""
    place, found = TopicPartition(topic, 0), []
    async with consumer(bootstrap, isolation_level=isolation, auto_offset_reset="earliest") as reader:
        reader.assign([place])
        end = reader.last_stable_offset if isolation == "read_committed" else reader.highwater
        # Known with the first answer to a fetch. What was committed is seen once its marker is
        # written, a little after the commit's answer.
        while len(found) < sum(map(len, ranges)) or end(place) is None or await reader.position(place) < end(place):
            for messages in (await reader.getmany(timeout_ms=50)).values():
                found.extend(message.value for message in messages)
    once(found, *ranges)


async def records(bootstrap):
    admin = await create(bootstrap, "t")
    async with producer(bootstrap, enable_idempotence=True, max_request_size=4 << 20) as sender:
        error = await refused(sender.send_and_wait("t", bytes(2 << 20)))
        await deliver(sender, "t", range(100))
        await holds(bootstrap, "t", range(100))
        says("too large", name(error))

        async with producer(bootstrap, request_timeout_ms=1000) as hasty:
            error = await refused(hasty.send_and_wait("unknown", b"0"))
        says("unknown topic", name(error))
        assert "unknown" not in await admin.list_topics()

        await admin.delete_records({PLACE: RecordsToDelete(before_offset=50)})
        await out_of_range(bootstrap, sender)
    await admin.close()


async def out_of_range(bootstrap, sender):
    async def at(offset, reset):
        reader = consumer(bootstrap, auto_offset_reset=reset)
        await reader.start()
        reader.assign([PLACE])
        reader.seek(PLACE, offset)
        return reader

    async def values(reader, count):
        return [(await asyncio.wait_for(reader.getone(), PATIENCE)).value for _ in range(count)]

    for offset in (10, 1000):
        reader = await at(offset, "earliest")
        once(await values(reader, 50), range(50, 100))
        await reader.stop()
    reader = await at(10, "latest")
    while await reader.position(PLACE) != 100:
        assert not await reader.getmany(timeout_ms=50)
    await deliver(sender, "t", range(100, 101))
    once(await values(reader, 1), range(100, 101))
    await reader.stop()
    reader = await at(10, "none")
    error = await refused(reader.getone())
    says("out of range", f"earliest, latest, {name(error)}")
    await reader.stop()


async def member(bootstrap, group, session, **settings):
    made = consumer(bootstrap, group_id=group, auto_offset_reset="earliest", session_timeout_ms=session,
                    heartbeat_interval_ms=session // 4, **settings)
    made.subscribe(["g"])
    await made.start()
    return made


async def first_record(reader):
    """Awaits that the member has the topic's partition, and a record of it."""
    return await asyncio.wait_for(reader.getone(), PATIENCE)


async def groups(bootstrap):
    admin = await create(bootstrap, "g")
    await admin.close()
    async with producer(bootstrap) as sender:
        await deliver(sender, "g", range(1))
    await rebalanced_away(bootstrap)

    # A long session: with its next heartbeat the first would join again, and put out the second.
    first = await member(bootstrap, "static", 120_000, group_instance_id="one")
    await first_record(first)
    second = await member(bootstrap, "static", 120_000, group_instance_id="one")
    await first_record(second)
    await second.commit()
    error = await refused(first.commit())
    says("same instance", name(error))
    await second.stop()
    await first.stop()


async def rebalanced_away(bootstrap):
    """aiokafka rebalances by itself, so that the other takes over from a member whose loop is held up."""
    slow = await member(bootstrap, "slow", 1000)
    await first_record(slow)
    taken, release = threading.Event(), threading.Event()

    async def take():
        other = await member(bootstrap, "slow", 1000)
        await first_record(other)
        taken.set()
        await asyncio.to_thread(release.wait)
        await other.commit()
        assert await other.committed(TopicPartition("g", 0)) == 1
        await other.stop()

    thread = threading.Thread(target=lambda: asyncio.run(take()))
    thread.start()
    try:
        assert taken.wait(PATIENCE)
        error = await refused(slow.commit())
        says("rebalanced away", name(error))
    finally:
        release.set()
    await asyncio.to_thread(thread.join)
    await slow.stop()


async def transactional(bootstrap, **settings):
    made = producer(bootstrap, transactional_id="tx", **settings)
    await made.start()
    return made


async def transactions(bootstrap):
    admin = await create(bootstrap, "t")
    await admin.close()
    sender = await transactional(bootstrap)
    for first, end in ((0, sender.commit_transaction), (1000, sender.abort_transaction), (50, sender.commit_transaction)):
        await sender.begin_transaction()
        await deliver(sender, "t", range(first, first + 50))
        await end()
    await holds(bootstrap, "t", range(100))
    await holds(bootstrap, "t", range(100), range(1000, 1050), isolation="read_uncommitted")
    says("aborted", "not read")

    for committed, first, end in ((100, 100, sender.commit_transaction), (200, 2000, sender.abort_transaction),
                                  (200, 200, sender.commit_transaction)):
        await sender.begin_transaction()
        await deliver(sender, "t", range(first, first + 50))
        restart()
        await holds(bootstrap, "t", range(committed))
        await deliver(sender, "t", range(first + 50, first + 100))
        await end()
    await holds(bootstrap, "t", range(300))
    says("broker killed", "goes on")

    # The producer that had begun it never comes back.
    await sender.begin_transaction()
    await deliver(sender, "t", range(3000, 3050))
    restart()
    successor = await transactional(bootstrap)
    await holds(bootstrap, "t", range(300))
    await successor.begin_transaction()
    await deliver(successor, "t", range(300, 350))
    await successor.commit_transaction()
    await holds(bootstrap, "t", range(350))
    says("both gone", "aborted")

    error = await refused(sender.commit_transaction())
    says("fenced", name(error))
    await timed_out(bootstrap)


async def timed_out(bootstrap):
    """The broker, killed meanwhile, aborts what is open for too long, and refuses its end."""
    late = await transactional(bootstrap, transaction_timeout_ms=1000)
    await late.begin_transaction()
    await deliver(late, "t", range(4000, 4001))
    restart()
    async with producer(bootstrap) as sender:
        await deliver(sender, "t", range(350, 351))
    found = []
    async with consumer(bootstrap, isolation_level="read_committed", auto_offset_reset="earliest") as reader:
        reader.assign([PLACE])
        while not found or found[-1] != b"350":
            found.append((await asyncio.wait_for(reader.getone(), PATIENCE)).value)
    once(found, range(351))
    error = await refused(late.commit_transaction())
    says("timed out", name(error))


if __name__ == "__main__":
    scenarios = {"records": records, "groups": groups, "transactions": transactions}
    main({key: lambda bootstrap, run=run: asyncio.run(run(bootstrap)) for key, run in scenarios.items()})
