"""A peer that shares no code with the library: the micro package of nats-py.

It runs a service that the library finds and asks; told so by a line on its input, it finds, reads and
asks the library's.
"""

import asyncio
import json
import ssl
import sys

import nats
from nats.micro import add_service
from nats.micro.request import ServiceError
from nats.micro.service import EndpointConfig, ServiceInfo, ServicePing, ServiceStats


async def answer(request):
    number = json.loads(request.data)
    if number % 2:
        raise ServiceError("422", "odd")
    await request.respond(json.dumps(number // 2).encode())


async def gather(client, subject, count):
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    await client.publish(subject, b"", reply=inbox)
    found = [json.loads((await answers.next_msg(timeout=10)).data) for _ in range(count)]
    await answers.unsubscribe()
    return found


async def main(url, directory):
    tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=f"{directory}/ca.pem")
    tls.load_cert_chain(f"{directory}/peer.pem", f"{directory}/peer.key")
    client = await nats.connect(url, tls=tls, inbox_prefix=b"_INBOX_peer")
    service = await add_service(client, name="pycalc", version="0.9.1", description="halves")
    await service.add_endpoint(EndpointConfig(name="halve", subject="pycalc.halve", handler=answer))
    await client.flush()
    print(service.id, flush=True)

    await asyncio.to_thread(sys.stdin.readline)
    pings = [ServicePing.from_dict(found) for found in await gather(client, "$SRV.PING", 2)]
    print(json.dumps(sorted([ping.name, ping.version] for ping in pings)), flush=True)
    own = next(ping for ping in pings if ping.name == "calc")
    reply = await client.request(f"$SRV.INFO.calc.{own.id}", b"", timeout=10)
    body = json.loads(reply.data)
    info = ServiceInfo.from_dict(body)
    print(json.dumps([body["type"], info.description, info.metadata]), flush=True)
    print(json.dumps([endpoint.to_dict() for endpoint in info.endpoints]), flush=True)
    good = await client.request("calc.halve", b"8", timeout=10)
    bad = await client.request("calc.halve", b"7", timeout=10)
    print(good.data.decode(), json.dumps(bad.headers), flush=True)
    reply = await client.request("$SRV.STATS.calc", b"", timeout=10)
    stats = ServiceStats.from_dict(json.loads(reply.data))
    print(json.dumps([[e.num_requests, e.num_errors, e.last_error] for e in stats.endpoints]), flush=True)
    print(json.loads(reply.data)["type"], stats.started.year > 2000, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await service.stop()
    await client.drain()


asyncio.run(main(sys.argv[1], sys.argv[2]))
