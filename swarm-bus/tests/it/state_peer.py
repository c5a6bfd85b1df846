"""A peer that shares no code with the library: nats-py, with buckets of values and of objects.

Each line on standard input names a step; each step ends with a line on standard output. What is
not as it should be ends the program with an error.
"""

import asyncio
import hashlib
import json
import ssl
import sys

import nats
from nats.js.errors import (
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    LinkIsABucketError,
    ObjectNotFoundError,
)

LARGE = bytes((i * 7 + i // 251) % 256 for i in range(700_000))


async def fails(error, awaitable):
    try:
        await awaitable
    except error:
        return
    raise SystemExit(f"{error.__name__} was expected")


class Peer:
    def __init__(self, client):
        self.js = client.jetstream()

    async def values_of_rust(self):
        """The bucket that Rust made: what stands there is read, and written on."""
        kv = await self.js.key_value("rooms")
        entry = await kv.get("hub.attic")
        assert (entry.value, entry.revision) == (b"21", 2), entry
        await fails(KeyNotFoundError, kv.get("hub.cellar"))
        await fails(KeyNotFoundError, kv.get("hub.nothing"))
        history = [(e.revision, e.value) for e in await kv.history("hub.attic")]
        assert history == [(1, b"20"), (2, b"21")], history
        assert await kv.keys() == ["hub.attic"]
        watcher = await kv.watchall(include_history=True)
        seen = []
        async for entry in watcher:
            if entry is None:
                break
            seen.append((entry.key, entry.value or b"", entry.operation))
        await watcher.stop()
        assert seen == [
            ("hub.attic", b"20", None),
            ("hub.attic", b"21", None),
            ("hub.cellar", b"1", None),
            ("hub.cellar", b"", "DEL"),
        ], seen

        await fails(KeyWrongLastSequenceError, kv.create("hub.attic", b"0"))
        await fails(KeyWrongLastSequenceError, kv.update("hub.attic", b"0", last=1))
        assert await kv.update("hub.attic", b"22", last=2) == 5
        assert await kv.create("hub.cellar", b"2") == 6
        assert await kv.put("peer.hall", b"3") == 7
        await kv.delete("peer.hall")
        await kv.purge("hub.cellar")

    async def values_of_python(self):
        """A bucket as this client makes it: without direct reads."""
        kv = await self.js.create_key_value(bucket="theirs", history=3)
        for value in (b"1", b"2", b"3"):
            await kv.put("a", value)
        await kv.put("b", b"4")
        await kv.delete("b")

    async def values_came_back(self):
        kv = await self.js.key_value("theirs")
        entry = await kv.get("a")
        assert (entry.value, entry.revision) == (b"30", 6), entry
        assert (await kv.get("b")).value == b"40"
        await fails(KeyNotFoundError, kv.get("c"))

    async def objects_of_rust(self):
        store = await self.js.object_store("files")
        result = await store.get("dir/ä.bin")
        assert result.data == LARGE
        assert result.info.description == "from Rust"
        assert result.info.chunks == 6 and result.info.size == len(LARGE)
        assert (await store.get("empty")).data == b""
        names = sorted(info.name for info in await store.list())
        assert names == ["dir/ä.bin", "directory", "empty", "gone", "link"], names
        await fails(ObjectNotFoundError, store.get("gone"))
        assert (await store.get("link")).data == LARGE
        await fails(LinkIsABucketError, store.get("directory"))
        await store.put("from python", LARGE[::-1])
        await store.put("empty", b"not any more")
        await store.delete("dir/ä.bin")

    async def objects_of_python(self):
        store = await self.js.create_object_store("boxes")
        await store.put("box", LARGE)
        # As nats.go writes a link; this client makes none.
        link = {"bucket": "files", "name": "from python"}
        info = {"name": "way", "bucket": "boxes", "nuid": "N", "size": 0, "chunks": 0,
                "mtime": "0001-01-01T00:00:00Z", "options": {"link": link}}
        await self.js.publish("$O.boxes.M.d2F5", json.dumps(info).encode())

    async def objects_came_back(self):
        store = await self.js.object_store("boxes")
        assert (await store.get("box")).data == b"replaced"
        info = await self.js.stream_info("OBJ_boxes", subjects_filter="$O.boxes.C.>")
        assert sum(info.state.subjects.values()) == 1, info.state.subjects


async def main(url, directory):
    tls = ssl.create_default_context(
        ssl.Purpose.SERVER_AUTH, cafile=f"{directory}/ca.pem"
    )
    tls.load_cert_chain(f"{directory}/peer.pem", f"{directory}/peer.key")
    client = await nats.connect(url, tls=tls, inbox_prefix=b"_INBOX_peer")
    peer = Peer(client)
    print(hashlib.sha256(LARGE).hexdigest(), flush=True)
    while step := (await asyncio.to_thread(sys.stdin.readline)).strip():
        await asyncio.wait_for(getattr(peer, step)(), 20)
        print(step, flush=True)
    await client.drain()


asyncio.run(main(sys.argv[1], sys.argv[2]))
