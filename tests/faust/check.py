"""Workers of Faust on a broker.

Usage: check.py hello|missing|windows BOOTSTRAP DIRECTORY
"""

import asyncio
import json
import os
import pathlib
import signal
import sys
from collections import Counter

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

HERE = pathlib.Path(__file__).parent
LIMIT = 90
READY = "Worker ready"


class Worker:
    """A process of a worker, and what it says."""

    @classmethod
    async def start(cls, name, directory, **env):
        worker = cls()
        worker.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "faust", "--datadir", f"{directory}/{env.get('WORKER', name)}", "-A", name,
            "worker", "--without-web", "-l", "info", cwd=directory, env={**os.environ, **env},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        worker.lines = asyncio.Queue()
        worker.reader = asyncio.create_task(worker.read())
        return worker

    async def read(self):
        while line := await self.process.stdout.readline():
            sys.stderr.write(line.decode())
            await self.lines.put(line.decode())
        await self.lines.put("")

    async def says(self, text):
        """Awaits a line with this text."""
        while line := await asyncio.wait_for(self.lines.get(), LIMIT):
            if text in line:
                return
        raise AssertionError(f"the worker ended without {text}")

    async def end(self, number):
        self.process.send_signal(number)
        await self.process.wait()


def tutorial(bootstrap, directory):
    """The tutorial's app, with another port."""
    host, port = bootstrap.split(":")
    text = (HERE / "hello_world.py").read_text()
    assert "localhost:9092" in text
    pathlib.Path(directory, "hello_world.py").write_text(text.replace("9092", port))


def restart():
    """Asks the test to kill the broker (kill -9) and to start it again; returns when that is done."""
    print("restart", flush=True)
    assert sys.stdin.readline() == "done\n"


async def missing(bootstrap, directory):
    """The broker creates no topics by itself, which the test sees to."""
    tutorial(bootstrap, directory)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    worker = await Worker.start("hello_world", directory)
    await worker.says("Ignoring missing topic: 'wishes'")
    await worker.says(READY)
    # It asks for its own topics by CreateTopics.
    topics = await admin.list_topics()
    assert "hello_world-__assignor-__leader" in topics and "wishes" not in topics, topics
    await worker.end(signal.SIGTERM)
    await admin.create_topics([NewTopic("wishes", 1, 1)])
    await admin.close()
    worker = await Worker.start("hello_world", directory)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait("wishes", b"a pony")
    await worker.says("b'a pony'")
    await worker.end(signal.SIGTERM)
    print("missing")


async def hello(bootstrap, directory):
    tutorial(bootstrap, directory)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    worker = await Worker.start("hello_world", directory)
    await producer.send_and_wait("wishes", b"a pony")
    await worker.says("b'a pony'")
    await producer.send_and_wait("wishes", b"world peace")
    await worker.says("b'world peace'")
    await worker.end(signal.SIGTERM)
    await producer.stop()
    print("hello")


async def windows(bootstrap, directory):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("events", 4, 1), NewTopic("counts", 4, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    counts = AIOKafkaConsumer("counts", bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await counts.start()
    pathlib.Path(directory, "windows.py").write_text((HERE / "windows.py").read_text())

    async def start(name):
        return await Worker.start("windows", directory, WORKER=name, BROKER=f"kafka://{bootstrap}")

    sent, expected, found, workers = 0, Counter(), [], Counter()

    async def phase():
        """Sends 210 events and awaits that they are counted, each as often as it must be."""
        nonlocal sent
        start, seen = sent, []
        for sent in range(start, start + 210):
            kind, time = f"kind{sent % 7}", sent / 10
            value = json.dumps({"kind": kind, "time": time}).encode()
            await producer.send_and_wait("events", value, key=kind.encode())
            # Of the two hopping windows that hold it, the one that began last.
            keys = [(kind, "tumbling", time // 10), (kind, "hopping", time // 5)]
            for key in keys:
                expected[key] += 1
            found.append((kind, time, expected[keys[0]], expected[keys[1]]))
        sent += 1
        while len(seen) < 210:
            record = await asyncio.wait_for(counts.getone(), LIMIT)
            value = json.loads(record.value)
            workers[value["worker"]] += 1
            seen.append((value["kind"], value["time"], value["tumbling"], value["hopping"]))
        assert sorted(seen) == sorted(found[start:]), sorted(set(seen) ^ set(found[start:]))[:9]

    async def until(what, condition):
        for _ in range(LIMIT * 10):
            if await condition():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never: {what}")

    async def committed():
        offsets = await admin.list_consumer_group_offsets("windows")
        return sum(o.offset for p, o in offsets.items() if p.topic == "events") == sent

    first = await start("first")
    await first.says(READY)
    await phase()
    second = await start("second")
    # Between a rebalance and the end of recovery Faust may count an event twice.
    await first.says(READY)
    await second.says(READY)
    await phase()
    assert workers["second"] > 0, workers
    await until("all is committed", committed)
    before = workers["first"]
    await first.end(signal.SIGKILL)
    # The other takes over, and has the counts of the one that was killed from the changelog.
    await second.says(READY)
    await phase()
    assert workers["first"] == before, workers
    await until("all is committed", committed)
    # Nobody is left, nor is the broker; a new worker restores all of it.
    await second.end(signal.SIGKILL)
    restart()
    third = await start("third")
    await third.says(READY)
    before = workers.copy()
    await phase()
    assert workers - before == Counter(third=210), workers
    await third.end(signal.SIGTERM)
    for stopped in (counts, producer):
        await stopped.stop()
    await admin.close()
    print("windows")


if __name__ == "__main__":
    scenario, address, place = sys.argv[1:]
    asyncio.run({"hello": hello, "missing": missing, "windows": windows}[scenario](address, place))
