#!/usr/bin/env python3
"""Many consumers in many groups, by the bare protocol: how often they rebalance, and what that costs the broker.

Usage: groups.py BINARY [--kafka] [--groups N] [--members N] [--seconds S]    (Python 3, nothing else; Linux)

All members join at once, heartbeat for a while, and then one of each group leaves. A storm would show as
generations without end, or as rebalances while nobody comes or goes. `--kafka` does the same with Apache Kafka.
"""

import argparse
import asyncio
import collections
import pathlib
import struct
import tempfile
import time

import brokers

JOIN, HEARTBEAT, LEAVE, SYNC, FIND_COORDINATOR = 11, 12, 13, 14, 10
ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCE_IN_PROGRESS, MEMBER_ID_REQUIRED = 22, 25, 27, 79
COORDINATOR_PASSING = (14, 15, 16)
SESSION_MS, REBALANCE_MS, HEARTBEAT_SECONDS = 45_000, 300_000, 3


def string(text):
    return struct.pack(">h", -1) if text is None else brokers.string(text)


def data(content):
    return struct.pack(">i", len(content)) + content


class Reader:
    def __init__(self, content):
        self.content, self.at = content, 0

    def number(self, form):
        found = struct.unpack_from(">" + form, self.content, self.at)[0]
        self.at += struct.calcsize(">" + form)
        return found

    def string(self):
        size = max(self.number("h"), 0)
        self.at += size
        return self.content[self.at - size:self.at].decode()

    def data(self):
        size = max(self.number("i"), 0)
        self.at += size


class Member:
    """A consumer of the classic protocol, without the consuming."""

    def __init__(self, port, group, number, seen):
        self.port, self.group, self.number, self.seen = port, group, number, seen
        self.id, self.generation, self.is_stable = "", -1, False

    async def call(self, api, version, body):
        frame = struct.pack(">hhi", api, version, 1) + string(f"member-{self.number}") + body
        self.writer.write(struct.pack(">i", len(frame)) + frame)
        size = struct.unpack(">i", await self.reader.readexactly(4))[0]
        return Reader((await self.reader.readexactly(size))[4:])

    async def run(self, leave):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        await self.find_coordinator()
        while not leave.is_set():
            if not self.is_stable and not await self.join():
                continue
            try:
                await asyncio.wait_for(leave.wait(), HEARTBEAT_SECONDS)
            except asyncio.TimeoutError:
                await self.heartbeat()
        await self.call(LEAVE, 1, string(self.group) + string(self.id))
        self.writer.close()

    async def find_coordinator(self):
        while True:
            answer = await self.call(FIND_COORDINATOR, 1, string(self.group) + b"\0")
            answer.number("i")
            if answer.number("h") == 0:
                return
            await asyncio.sleep(0.1)

    async def join(self):
        protocol = struct.pack(">i", 1) + string("range") + data(b"")
        body = string(self.group) + struct.pack(">ii", SESSION_MS, REBALANCE_MS) + string(self.id)
        answer = await self.call(JOIN, 5, body + string(None) + string("consumer") + protocol)
        answer.number("i")
        error, generation = answer.number("h"), answer.number("i")
        answer.string()
        leader, member = answer.string(), answer.string()
        if error:
            if error != MEMBER_ID_REQUIRED:
                self.seen.errors[error] += 1
            self.id = member if error == MEMBER_ID_REQUIRED else "" if error == UNKNOWN_MEMBER else self.id
            await asyncio.sleep(0.1 if error in COORDINATOR_PASSING else 0)
            return False
        self.id, self.generation = member, generation
        shares = []
        for _ in range(answer.number("i")):
            shares.append(string(answer.string()) + data(b"share"))
            answer.string()
            answer.data()
        shares = shares if leader == member else []
        self.seen.joins += 1
        self.seen.generations[self.group] = max(self.seen.generations[self.group], generation)
        body = string(self.group) + struct.pack(">i", generation) + string(member) + string(None)
        answer = await self.call(SYNC, 3, body + struct.pack(">i", len(shares)) + b"".join(shares))
        answer.number("i")
        self.is_stable = self.note(answer.number("h"))
        return self.is_stable

    async def heartbeat(self):
        body = string(self.group) + struct.pack(">i", self.generation) + string(self.id) + string(None)
        answer = await self.call(HEARTBEAT, 3, body)
        answer.number("i")
        self.seen.heartbeats += 1
        self.is_stable = self.note(answer.number("h"))

    def note(self, error):
        if error == UNKNOWN_MEMBER:
            self.id = ""
        if error not in (0, REBALANCE_IN_PROGRESS):
            self.seen.errors[error] += 1
        return error == 0


class Seen:
    def __init__(self):
        self.joins = self.heartbeats = 0
        self.generations = collections.Counter()
        self.errors = collections.Counter()


async def settle(members, tasks, generations, since):
    """Until all are in one generation of their groups, twice in a row."""
    calm = 0
    while calm < 2:
        for task in tasks:
            if task.done():
                task.result()
        is_calm = all(m.is_stable and m.generation == generations[m.group] for m in members)
        calm = calm + 1 if is_calm else 0
        if time.perf_counter() - since > 120:
            raise RuntimeError("the groups do not settle in two minutes: a storm")
        await asyncio.sleep(0.25)


async def measure(broker, arguments):
    seen, start = Seen(), time.perf_counter()
    leaves, members, tasks = [], [], []
    for group in range(arguments.groups):
        for number in range(arguments.members):
            leave, member = asyncio.Event(), Member(broker.port, f"group-{group}", number, seen)
            leaves.append(leave)
            members.append(member)
            tasks.append(asyncio.create_task(member.run(leave)))

    def say(what, since, cpu, joins, rebalances):
        seconds = time.perf_counter() - since
        rebalanced = sum(seen.generations.values()) - rebalances
        print(f"{broker.name}: {what}: {seconds:.1f} s, {rebalanced} rebalances "
              f"({rebalanced / arguments.groups:.1f} a group), {seen.joins - joins} joins, "
              f"broker CPU {broker.cpu_seconds() - cpu:.2f} s", flush=True)

    def now():
        return time.perf_counter(), broker.cpu_seconds(), seen.joins, sum(seen.generations.values())

    before = now()
    await settle(members, tasks, seen.generations, start)
    say(f"{len(members)} members join {arguments.groups} groups at once", *before)
    before = now()
    await asyncio.sleep(arguments.seconds)
    say("nobody comes or goes", *before)
    before = now()
    for number in range(0, len(leaves), arguments.members):
        leaves[number].set()
    staying = [m for number, m in enumerate(members) if number % arguments.members]
    await asyncio.sleep(HEARTBEAT_SECONDS)
    await settle(staying, tasks, seen.generations, time.perf_counter())
    say("one of each group leaves", *before)
    print(f"{broker.name}: {seen.heartbeats} heartbeats, errors {dict(seen.errors)}, "
          f"memory {broker.memory()['resident']:.1f} MiB")
    for leave in leaves:
        leave.set()
    await asyncio.gather(*tasks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("binary", type=pathlib.Path, help="brooklet, built with --profile dist")
    parser.add_argument("--kafka", action="store_true", help="Apache Kafka as well")
    parser.add_argument("--jars", default="target/peers/lib", help="where its jars are")
    parser.add_argument("--groups", type=int, default=50)
    parser.add_argument("--members", type=int, default=10, help="of each group")
    parser.add_argument("--seconds", type=float, default=30, help="in which nobody comes or goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        directory = pathlib.Path(name)
        makers = [lambda: brokers.brooklet(arguments.binary.resolve(), directory, False)]
        if arguments.kafka:
            makers.append(lambda: brokers.kafka(pathlib.Path(arguments.jars).resolve(), directory))
        for start in makers:
            broker = start()
            try:
                asyncio.run(measure(broker, arguments))
            finally:
                broker.stop()


if __name__ == "__main__":
    main()
