"""A peer that shares no code with the library: nats-py as a worker that never finishes a job, then as a
reader of the letter that the library made of it.
"""

import asyncio
import json
import ssl
import sys

import nats
from nats.errors import TimeoutError


async def main(url, directory):
    tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=f"{directory}/ca.pem")
    tls.load_cert_chain(f"{directory}/peer.pem", f"{directory}/peer.key")
    client = await nats.connect(url, tls=tls, inbox_prefix=b"_INBOX_peer")
    stream = client.jetstream()
    await stream.publish("jobs.main", b"7", headers={"Nats-Msg-Id": "first", "Trace": "python"})
    jobs = await stream.pull_subscribe_bind("n1", "JOBS", inbox_prefix=b"_INBOX_peer.")
    deliveries = 0
    for _ in range(6):
        try:
            for message in await jobs.fetch(1, timeout=0.5):
                deliveries += 1
                await message.nak()
        except TimeoutError:
            pass
    print(deliveries, flush=True)

    await asyncio.to_thread(sys.stdin.readline)
    letter = await stream.get_msg("DEAD_LETTERS", 1)
    print(letter.subject, letter.data.decode(), json.dumps(letter.headers), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    (message,) = await jobs.fetch(1, timeout=5)
    print(message.data.decode(), json.dumps(message.headers), flush=True)
    await message.ack_sync()
    await client.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
