"""The tutorial of Faust."""

import faust

app = faust.App("hello_world", broker="kafka://localhost:9092", value_serializer="raw")

wishes = app.topic("wishes")


@app.agent(wishes)
async def wish(events):
    async for event in events:
        print(event)
