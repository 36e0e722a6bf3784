"""Time from exec to the first acknowledged record on an empty directory, and idle memory.

Usage: startup.py BINARY [RUNS]     (Python 3, nothing else; Linux and macOS)

Each run starts `brooklet serve` on a new data directory, connects as soon as the port is open, creates
a topic by asking for its metadata, and produces one batch with acks=all: the time to its answer counts.
"""

import pathlib
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

BATCH = pathlib.Path(__file__).parent.parent / "tests/golden/records/aiokafka-none.batch"
PORT = 29092


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def call(connection, api, version, body):
    frame = struct.pack(">hhi", api, version, 1) + string("startup") + body
    connection.sendall(struct.pack(">i", len(frame)) + frame)
    answer = b""
    while len(answer) < 4 or len(answer) < 4 + struct.unpack(">i", answer[:4])[0]:
        more = connection.recv(65536)
        assert more, "the broker hung up"
        answer += more
    return answer[8:]


def connect():
    while True:
        try:
            return socket.create_connection(("127.0.0.1", PORT))
        except ConnectionRefusedError:
            pass


def resident_kib(pid):
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)]))


def run(binary):
    with tempfile.TemporaryDirectory() as directory:
        arguments = ["serve", "--data-dir", directory + "/data", "--kafka", f"127.0.0.1:{PORT}"]
        started = time.perf_counter()
        broker = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)
        try:
            connection = connect()
            call(connection, 3, 4, struct.pack(">i", 1) + string("t") + b"\x01")
            batch = BATCH.read_bytes()
            partition = struct.pack(">ii", 0, len(batch)) + batch
            topic = string("t") + struct.pack(">i", 1) + partition
            answer = call(connection, 0, 3, struct.pack(">hhii", -1, -1, 30000, 1) + topic)
            elapsed = time.perf_counter() - started
            error = struct.unpack(">h", answer[15:17])[0]
            assert error == 0, f"produce answered error {error}"
            return elapsed * 1000, resident_kib(broker.pid)
        finally:
            broker.terminate()
            broker.wait()


if __name__ == "__main__":
    runs = [run(sys.argv[1]) for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 20)]
    times, memory = zip(*runs)
    print(f"first acknowledged record: median {statistics.median(times):.1f} ms, "
          f"min {min(times):.1f}, max {max(times):.1f}, {len(runs)} runs")
    print(f"resident after it: median {statistics.median(memory) / 1024:.1f} MiB")
