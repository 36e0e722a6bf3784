#!/usr/bin/env python3
"""Brooklet beside Apache Kafka, on one machine, under the load of Kafka's own Java clients.

Usage: run.py BINARY [--quick | --matrix] [--rounds N] [--seconds S] [--dir DIR] [--json FILE]
       (Python 3, Java 17 and Maven; Linux)

Every case is measured in turns, A B B A, by one client process that is warm for both. A case has a mode:

    unsynced   neither syncs: Brooklet is ephemeral, Kafka as it comes
    synced     both sync before they answer: topics with flush.messages=1
    defaults   each as it comes: Brooklet syncs what acks=all asks for and the rest within a second, Kafka nothing

Figures are medians, and what is printed is the ratio Brooklet / Kafka: on a machine that does other things
as well, nothing else is worth keeping. Of each row it is said what limited it.
"""

import argparse
import itertools
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import brokers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TEXT = next((ROOT / "cli/data").glob("*.csv.gz"))
SYNCED = {"flush.messages": 1}
# Ratio of Brooklet to Kafka: at least, or at most.
GOALS = {"records/s": (1.2, "≥"), "read records/s": (1.2, "≥"), "CPU/record": (0.6, "≤"),
         "read CPU/record": (0.6, "≤"), "e2e p99": (0.3, "≤"),
         "memory": (0.1, "≤"), "start": (0.02, "≤")}
PROCESSORS = os.cpu_count()


class Client:
    """The Java process that makes the load."""

    def __init__(self, jars, log):
        command = ["java", "-Xmx2G", "-cp", f"{jars}/*", str(HERE / "Load.java"), str(TEXT)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=log, text=True)

    def ask(self, verb, **words):
        line = " ".join([verb, *(f"{key}={value}" for key, value in words.items())])
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{line}: {answer['error']}")
        return answer

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def idle_seconds():
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / brokers.TICKS, sum(map(int, fields[1:])) / brokers.TICKS


class Peers:
    def __init__(self, arguments, client, kafka, makers):
        self.arguments = arguments
        self.client = client
        self.kafka = kafka
        self.makers = makers
        self.numbers = itertools.count()
        self.rows = []

    def measure(self, broker, verb, topic_settings, partitions, **words):
        """One run on a topic of its own; what the client, the broker and the machine say of it."""
        topic = {"bootstrap": broker.bootstrap, "topic": f"peers-{next(self.numbers)}"}
        self.client.ask("create", partitions=partitions, **topic, **topic_settings)
        start, before, idle_before = time.perf_counter(), broker.cpu_seconds(), idle_seconds()
        found = self.client.ask(verb, partitions=partitions, **topic, **words)
        cpu, idle_after = broker.cpu_seconds() - before, idle_seconds()
        found["broker_cpu_per_record"] = cpu / max(found["records"], 1)
        found["own_processors"] = found["client_cpu"] + cpu / (time.perf_counter() - start)
        found["idle"] = (idle_after[0] - idle_before[0]) / (idle_after[1] - idle_before[1])
        self.client.ask("delete", **topic)
        if found["failed"]:
            raise RuntimeError(f"{broker.name}: {found['failed']} records failed")
        return found

    def in_turns(self, ours, verb, settings, partitions, **words):
        """So many rounds, each in the other order than the one before."""
        found = {"ours": [], "kafka": []}
        for number in range(self.arguments.rounds):
            order = [("ours", ours), ("kafka", self.kafka)]
            for who, broker in order if number % 2 == 0 else reversed(order):
                found[who].append(self.measure(broker, verb, settings, partitions, **words))
        return found

    def row(self, mode, case, what, found, figure, limit):
        ours, kafka = ([figure(one) for one in found[who]] for who in ("ours", "kafka"))
        each = [a / b for a, b in zip(ours, kafka)]
        ours, kafka = statistics.median(ours), statistics.median(kafka)
        row = {"mode": mode, "case": case, "what": what, "ours": ours, "kafka": kafka, "ratio": ours / kafka,
               "ratio_min": min(each), "ratio_max": max(each), "limit": limit}
        if what in GOALS:
            goal, sign = GOALS[what]
            row["goal"] = f"{sign} {goal}"
            row["met"] = row["ratio"] >= goal if sign == "≥" else row["ratio"] <= goal
        self.rows.append(row)
        print(markdown(row), flush=True)

    def produce(self, mode, ours, case):
        size, codec, partitions, acks = case
        settings = SYNCED if mode == "synced" else {}
        words = {"size": size, "codec": codec, "acks": acks, "warmup": 1, "seconds": self.arguments.seconds}
        found = self.in_turns(ours, "produce", settings, partitions, **words)
        name = f"{size} B, {codec}, {partitions} partitions, acks {acks}"
        limits = limits_of(found, mode, acks)
        self.row(mode, name, "records/s", found, lambda one: one["rate"], limits)
        self.row(mode, name, "CPU/record", found, lambda one: one["broker_cpu_per_record"] * 1e6, "")
        return statistics.median(one["rate"] for one in found["kafka"])

    def read(self, mode, ours, case):
        """The same records in the same batches, read from the beginning, from the page cache."""
        size, codec, partitions, _ = case
        found = {"ours": [], "kafka": []}
        brokers = [("ours", ours), ("kafka", self.kafka)]
        topic = {"topic": f"peers-{next(self.numbers)}"}
        for _, broker in brokers:
            words = {"bootstrap": broker.bootstrap, **topic}
            self.client.ask("create", partitions=partitions, **words)
            records = 300_000_000 // max(size, 100)
            words |= {"partitions": partitions, "linger.ms": 100}
            self.client.ask("fill", size=size, codec=codec, acks="all", records=records, **words)
        for number in range(2 * self.arguments.rounds):
            for who, broker in brokers if number % 2 == 0 else reversed(brokers):
                start, before, idle = time.perf_counter(), broker.cpu_seconds(), idle_seconds()
                one = self.client.ask("consume", bootstrap=broker.bootstrap, partitions=partitions, **topic)
                cpu, idle_after = broker.cpu_seconds() - before, idle_seconds()
                one["broker_cpu_per_record"] = cpu / one["records"]
                one["idle"] = (idle_after[0] - idle[0]) / (idle_after[1] - idle[1])
                one["own_processors"] = one["client_cpu"] + cpu / (time.perf_counter() - start)
                found[who].append(one)
        for _, broker in brokers:
            self.client.ask("delete", bootstrap=broker.bootstrap, **topic)
        name = f"{size} B, {codec}, {partitions} partitions"
        self.row(mode, name, "read records/s", found, lambda one: one["rate"], limits_of(found, "unsynced", 1))
        self.row(mode, name, "read CPU/record", found, lambda one: one["broker_cpu_per_record"] * 1e6, "")

    def e2e(self, mode, ours, rate, acks, note=""):
        settings = SYNCED if mode == "synced" else {}
        words = {"size": 100, "acks": acks, "rate": int(rate), "warmup": 2, "seconds": self.arguments.seconds}
        found = self.in_turns(ours, "e2e", settings, 1, **words)
        late = {who: statistics.median(one["late_p99"] for one in all) for who, all in found.items()}
        p99 = {who: statistics.median(one["p99"] for one in all) for who, all in found.items()}
        limit = f"the client was late: p99 {late['ours']:.2f} / {late['kafka']:.2f} ms"
        if any(late[who] > p99[who] / 2 for who in late):
            limit = f"client: half of a p99 is its own; {limit}"
        name = f"{int(rate)}/s{note}, acks {acks}"
        for key, what in (("p50", "e2e p50"), ("p99", "e2e p99"), ("p999", "e2e p99.9")):
            self.row(mode, name, what, found, lambda one, key=key: one[key], limit)

    def mode(self, mode, cases):
        ours = self.makers[mode]()
        try:
            if self.arguments.reads:
                for case in reads_of(self.arguments):
                    self.read(mode, ours, case)
                return
            rates = {case: self.produce(mode, ours, case) for case in cases}
            # The first case is one of 100 B without a codec to one partition.
            size, _, _, acks = cases[0]
            assert size == 100
            self.e2e(mode, ours, 1000, acks)
            if not self.arguments.quick:
                self.e2e(mode, ours, 10_000, acks)
            self.e2e(mode, ours, rates[cases[0]] / 2, acks, " (half of Kafka's most)")
            if mode == "unsynced":
                for case in reads_of(self.arguments):
                    self.read(mode, ours, case)
                pair = {"ours": [ours.memory()], "kafka": [self.kafka.memory()]}
                self.row(mode, "the most under load, MiB", "memory", pair, lambda one: one["most"], "")
        finally:
            ours.stop()


def limits_of(found, mode, acks):
    """What limited each: ours / Kafka's."""
    def limit(all):
        thread = statistics.median(max(one["thread"], one.get("network_thread", 0)) for one in all)
        idle = statistics.median(one["idle"] for one in all)
        own = statistics.median(one["own_processors"] for one in all)
        if thread > 0.85:
            return "client"
        if idle < 0.1:
            return "processors" if own > 0.75 * PROCESSORS else "other work"
        return "disk" if mode == "synced" or (mode == "defaults" and acks == "all") else "round trips"
    return f"{limit(found['ours'])} / {limit(found['kafka'])}"


def number(figure):
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


HEADER = ("| mode | case | what | Brooklet | Kafka | ratio | of the rounds | goal | limit: ours / Kafka's |\n"
          "|---|---|---|---|---|---|---|---|---|")


def markdown(row):
    goal = f"{row['goal']} {'met' if row['met'] else 'not met'}" if "goal" in row else ""
    if goal and not row["met"] and row["limit"].startswith(("client", "ours: client")):
        goal += " (client)"
    cells = [row["mode"], row["case"], row["what"], number(row["ours"]), number(row["kafka"]), f"{row['ratio']:.3g}",
             f"{row['ratio_min']:.3g}-{row['ratio_max']:.3g}", goal, row["limit"]]
    return f"| {' | '.join(cells)} |"


def cases_of(arguments, mode):
    if arguments.quick:
        return [(100, "none", 1, 1), (1024, "lz4", 16, "all")]
    if arguments.matrix:
        return list(itertools.product((100, 1024), ("none", "lz4"), (1, 16, 256), (1, "all")))
    cases = [(100, "none", 1, 1), (100, "none", 1, "all"), (1024, "none", 1, 1), (100, "none", 16, 1)]
    if mode == "unsynced":
        cases += [(100, "lz4", 1, 1), (1024, "lz4", 1, 1), (100, "none", 256, 1), (1024, "none", 16, "all")]
    return cases


def reads_of(arguments):
    cases = [(100, "none", 1, 1), (1024, "none", 1, 1), (100, "none", 16, 1), (1024, "lz4", 16, 1)]
    return cases[:1] if arguments.quick else cases


def jars_of(arguments):
    jars = pathlib.Path(arguments.jars)
    if not list(jars.glob("kafka_2.13-*.jar")):
        command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        subprocess.run([*command, f"-DoutputDirectory={jars.resolve()}"], check=True)
    return jars.resolve()


def starts(arguments, peers, jars, directory):
    """From exec to the first acknowledged record, on an empty directory; idle memory after it."""
    found = {"ours": [], "kafka": []}
    for turn in range(3 if arguments.quick else 5):
        order = [("ours", peers.makers["defaults"]), ("kafka", lambda: brokers.kafka(jars, directory))]
        for who, start in order if turn % 2 == 0 else reversed(order):
            broker = start()
            found[who].append({"start": broker.start_seconds, **broker.idle})
            broker.stop()
    peers.row("defaults", "exec to first acknowledged record, s", "start", found, lambda one: one["start"], "")
    peers.row("defaults", "idle, MiB", "memory", found, lambda one: one["resident"], "")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("binary", type=pathlib.Path, help="brooklet, built with --profile dist")
    parser.add_argument("--quick", action="store_true", help="a few minutes, few cases")
    parser.add_argument("--matrix", action="store_true", help="all sizes, codecs, partitions and acks: hours")
    parser.add_argument("--rounds", type=int, default=2, help="of each case, for both brokers (2: A B B A)")
    parser.add_argument("--seconds", type=float, help="measured in each round (4; quick: 2)")
    parser.add_argument("--modes", default="unsynced,synced,defaults", help="which, with commas")
    parser.add_argument("--reads", action="store_true", help="nothing but reading")
    parser.add_argument("--dir", help="where the brokers keep their data; a directory in it is removed again")
    parser.add_argument("--jars", default=str(ROOT / "target/peers/lib"), help="where Kafka's jars are, or go")
    parser.add_argument("--json", type=pathlib.Path, help="write all rows there")
    arguments = parser.parse_args()
    arguments.seconds = arguments.seconds or (2 if arguments.quick else 4)
    return arguments


def main():
    arguments = parse()
    # A run that is told to end stops its brokers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    jars, binary = jars_of(arguments), arguments.binary.resolve()
    with tempfile.TemporaryDirectory(dir=arguments.dir, ignore_cleanup_errors=True) as name:
        directory = pathlib.Path(name)
        makers = {"unsynced": lambda: brokers.brooklet(binary, directory, True)}
        makers["synced"] = makers["defaults"] = lambda: brokers.brooklet(binary, directory, False)
        client = Client(jars, open(directory / "client.err", "wb"))
        kafka = None
        try:
            peers = Peers(arguments, client, kafka, makers)
            print(f"{PROCESSORS} processors, rounds of {arguments.seconds} s\n\n{HEADER}", flush=True)
            if not arguments.reads:
                starts(arguments, peers, jars, directory)
            peers.kafka = kafka = brokers.kafka(jars, directory)
            warm_up(peers)
            for mode in arguments.modes.split(","):
                peers.mode(mode, cases_of(arguments, mode))
        finally:
            client.stop()
            if kafka:
                kafka.stop()
    if arguments.json:
        document = {"schema": 1, "processors": PROCESSORS, "seconds": arguments.seconds,
                    "rounds": arguments.rounds, "rows": peers.rows}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def warm_up(peers):
    """Both Javas compile what they need before anything counts."""
    ours = peers.makers["unsynced"]()
    try:
        for broker in (peers.kafka, ours, peers.kafka):
            words = {"size": 100, "codec": "none", "acks": 1, "warmup": 0, "seconds": 5}
            peers.measure(broker, "produce", {}, 1, **words)
            words = {"size": 100, "acks": 1, "rate": 5000, "warmup": 0, "seconds": 2}
            peers.measure(broker, "e2e", {}, 1, **words)
    finally:
        ours.stop()


if __name__ == "__main__":
    sys.exit(main())
