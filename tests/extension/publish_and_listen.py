"""Another program on the bus: publishes one command, and prints what happens because of it until it has heard enough.

    python publish_and_listen.py amqp://user:password@host/vhost lhcb submission.make '{"jobs": [{"executable": "/bin/true"}]}' 3

Needs aio-pika and nothing of ours; the words are in the AsyncAPI document at /asyncapi.
"""  # noqa: E501

import asyncio
import json
import sys
import uuid

import aio_pika


async def main(url: str, vo: str, topic: str, data: str, wanted: str = "1") -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("spinor.events", f"{vo}.job.*")
        inbox = await channel.get_exchange("spinor.inbox")
        mine = {str(uuid.uuid4())}  # ids of our command, then of the jobs that it made or changed
        body = json.dumps({"id": min(mine), "data": json.loads(data)}).encode()
        user = aio_pika.connection.URL(url).user
        await inbox.publish(aio_pika.Message(body, user_id=user, delivery_mode=2), f"{vo}.{topic}")
        left = int(wanted)
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                for event in json.loads(message.body):
                    if left and mine & {event.get("correlation"), event["stream"]}:
                        mine.add(event["stream"])
                        left -= 1
                        print(event["at"], event["topic"], event["stream"], event["data"], flush=True)
                if not left:
                    return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
