"""Writes golden record batches with aiokafka's encoder: make_aiokafka.py DIRECTORY

Run once; the files are kept. Needs the PyPI packages aiokafka and cramjam.
"""

import pathlib
import sys

from aiokafka.record.default_records import DefaultRecordBatchBuilder

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

directory = pathlib.Path(sys.argv[1])
for name, codec in CODECS.items():
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=4711,
        producer_epoch=3, base_sequence=99, batch_size=1 << 20)
    for n in range(10):
        key = None if n == 3 else f"key-{n}".encode()
        value = None if n == 4 else f"value {n} ".encode() * 20
        headers = [("trace", f"id-{n}".encode()), ("empty", None)] if n % 2 else []
        builder.append(n, timestamp=1_700_000_000_000 + n * 10, key=key, value=value, headers=headers)
    (directory / f"aiokafka-{name}.batch").write_bytes(bytes(builder.build()))
