"""Counts events per kind, in tumbling and in hopping windows; says what it counted."""

import os

import faust


class Event(faust.Record):
    kind: str
    time: float


app = faust.App("windows", broker=os.environ["BROKER"], store="memory://", topic_partitions=4,
                broker_session_timeout=6.0, broker_heartbeat_interval=0.5, broker_commit_interval=0.2)
events = app.topic("events", key_type=str, value_type=Event)
counts = app.topic("counts", value_serializer="json")
tumbling = app.Table("tumbling", default=int).tumbling(10.0).relative_to_field(Event.time)
hopping = app.Table("hopping", default=int).hopping(10.0, 5.0).relative_to_field(Event.time)


@app.agent(events)
async def count(stream):
    async for event in stream:
        tumbling[event.kind] += 1
        hopping[event.kind] += 1
        await counts.send(key=event.kind, value={
            "kind": event.kind, "time": event.time, "worker": os.environ["WORKER"],
            "tumbling": tumbling[event.kind].value(), "hopping": hopping[event.kind].value()})
