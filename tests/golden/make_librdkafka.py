"""Sends the golden records with librdkafka: make_librdkafka.py BOOTSTRAP

Creates a topic per codec. A broker keeps what a producer sends, so the golden files are the
segments' bytes: TOPIC-0/00000000000000000000.log of `brooklet serve --data-dir`. Needs the PyPI
package confluent-kafka.
"""

import sys

from confluent_kafka import Producer

for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    producer = Producer({"bootstrap.servers": sys.argv[1], "compression.type": codec,
                         "linger.ms": 500, "enable.idempotence": True})
    for n in range(10):
        key = None if n == 3 else f"key-{n}".encode()
        value = None if n == 4 else f"value {n} ".encode() * 20
        headers = [("trace", f"id-{n}".encode()), ("empty", None)] if n % 2 else []
        producer.produce(f"librdkafka-{codec}", value, key, partition=0,
                         timestamp=1_700_000_000_000 + n * 10, headers=headers)
    producer.flush(30)
