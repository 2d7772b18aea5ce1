"""Another program on the bus: asks for one job to be killed, and prints what happens to jobs.

    python publish_and_listen.py amqp://user:password@host/vhost lhcb 123

Needs aio-pika and nothing of ours; the words are in the AsyncAPI document at /asyncapi.
"""

import asyncio
import json
import sys
import uuid

import aio_pika


async def main(url: str, vo: str, job: int, wanted: int = 1) -> list[dict]:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("spinor.events", f"{vo}.job.*")
        body = json.dumps({"id": str(uuid.uuid4()), "data": {"job": job}}).encode()
        command = aio_pika.Message(body, user_id=aio_pika.connection.URL(url).user, delivery_mode=2)
        inbox = await channel.get_exchange("spinor.inbox")
        await inbox.publish(command, f"{vo}.job.kill")
        heard: list[dict] = []
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                heard += json.loads(message.body)
                if len(heard) >= wanted:
                    return heard
    return heard


if __name__ == "__main__":
    for event in asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))):
        print(event["at"], event["topic"], event["stream"], event["data"])
