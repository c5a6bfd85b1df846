"""A peer that shares no code with the library: nats-py.

Connects without a certificate, with a stranger's and with its own; with its own it sends an event,
answers a request and asks one, each through the bus.
"""

import asyncio
import json
import ssl
import sys

import nats


def context(ca, chain=None, key=None):
    tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    if chain:
        tls.load_cert_chain(chain, key)
    return tls


async def quiet(_):
    """The library would print what is expected here."""


async def refused(url, tls):
    try:
        client = await nats.connect(
            url, tls=tls, allow_reconnect=False, connect_timeout=3, error_cb=quiet
        )
        await client.flush(timeout=3)
        await client.close()
    except Exception as error:
        return type(error).__name__
    raise SystemExit("a peer that must be refused was let in")


async def main(url, directory):
    path = lambda name: f"{directory}/{name}"
    ca = path("ca.pem")
    print("none:", await refused(url, context(ca)), flush=True)
    stranger = context(ca, path("stranger.pem"), path("stranger.key"))
    print("stranger:", await refused(url, stranger), flush=True)

    own = context(ca, path("peer.pem"), path("peer.key"))
    client = await nats.connect(url, tls=own, inbox_prefix=b"_INBOX_peer")

    async def answer(message):
        body = json.loads(message.data)
        await message.respond(json.dumps({"got": body}).encode())

    await client.subscribe("swarm.commands.peer.*", cb=answer)
    await client.flush()
    event = {"at": 7, "event": {"kind": "custom", "name": "hello", "body": {"from": "python"}}}
    await client.publish("swarm.events.node.peer", json.dumps(event).encode())
    ping = await client.request("swarm.commands.rust.ping", b'{"sent":1}', timeout=10)
    print("pong:", ping.data.decode(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await client.drain()


asyncio.run(main(sys.argv[1], sys.argv[2]))
