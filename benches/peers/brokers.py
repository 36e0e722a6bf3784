"""The brokers that are measured side by side: started, watched and stopped."""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
BATCH = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/records/aiokafka-none.batch"
# What kafka-server-start.sh gives its Java.
KAFKA_JAVA = ["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
              "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]
START_SECONDS_MAX = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def call(connection, api, version, body):
    frame = struct.pack(">hhi", api, version, 1) + string("peers") + body
    connection.sendall(struct.pack(">i", len(frame)) + frame)
    answer = b""
    while len(answer) < 4 or len(answer) < 4 + struct.unpack(">i", answer[:4])[0]:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the broker hung up")
        answer += more
    return answer[8:]


def first_record(port):
    """Produces one batch with acks=all to a topic that comes into being by being asked for."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        call(connection, 3, 4, struct.pack(">i", 1) + string("first") + b"\x01")
        batch = BATCH.read_bytes()
        partition = struct.pack(">ii", 0, len(batch)) + batch
        topic = string("first") + struct.pack(">i", 1) + partition
        answer = call(connection, 0, 3, struct.pack(">hhii", -1, -1, 30000, 1) + topic)
    at = 4 + 2 + len("first") + 4 + 4  # topics, name, partitions, partition
    return struct.unpack(">h", answer[at:at + 2])[0] == 0


class Broker:
    """A broker in a directory of its own, as a process of its own."""

    def __init__(self, name, command, port, directory, environment=None):
        self.name = name
        self.port = port
        self.log = open(directory / f"{name}.out", "ab")
        started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=directory,
                                        env={**os.environ, **(environment or {})})
        self.start_seconds = self._await_first_record(started)
        self.idle = self.memory()

    def _await_first_record(self, started):
        while time.perf_counter() - started < START_SECONDS_MAX:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} has ended: see {self.log.name}")
            try:
                if first_record(self.port):
                    return time.perf_counter() - started
            except OSError:
                pass
            time.sleep(0.001)
        raise RuntimeError(f"{self.name} takes no record: see {self.log.name}")

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def cpu_seconds(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        """MiB: all that is resident, of it what is not a mapped file, and the most there ever was."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        mib = {key: int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon", "VmHWM")}
        return {"resident": mib["VmRSS"], "anonymous": mib["RssAnon"], "most": mib["VmHWM"]}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def brooklet(binary, directory, is_ephemeral):
    name = "brooklet-ephemeral" if is_ephemeral else "brooklet"
    port = free_port()
    data = ["--ephemeral"] if is_ephemeral else ["--data-dir", str(directory / f"{name}-{port}")]
    command = [str(binary), "serve", *data, "--kafka", f"127.0.0.1:{port}"]
    # An ephemeral broker puts its data below TMPDIR: the same file system for all.
    return Broker(name, command, port, directory, {"TMPDIR": str(directory)})


def kafka(jars, directory):
    port, controller = free_port(), free_port()
    data = directory / f"kafka-{port}"
    properties = directory / f"kafka-{port}.properties"
    properties.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
""")
    quiet = directory / "log4j.properties"
    quiet.write_text("log4j.rootLogger=WARN, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n"
                     "log4j.appender.out.layout=org.apache.log4j.SimpleLayout\n")
    java = ["java", f"-Dlog4j.configuration=file:{quiet}", "-cp", f"{jars}/*"]
    storage = [*java, "kafka.tools.StorageTool"]
    cluster = "MkU3OEVBNTcwNTJENDM2Qg"
    subprocess.run([*storage, "format", "-t", cluster, "-c", str(properties)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [java[0], *KAFKA_JAVA, *java[1:], "kafka.Kafka", str(properties)]
    return Broker("kafka", command, port, directory)
