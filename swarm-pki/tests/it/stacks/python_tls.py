"""Python's TLS as a client of a server with each chain: one JSON line a folder that is named on standard input."""

import json
import pathlib
import ssl
import sys

NAME = sys.argv[1]


def handshake(folder):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # the server may show what it likes; the client is who judges
    server.set_ciphers("ALL:@SECLEVEL=0")
    server.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.set_ciphers("DEFAULT:@SECLEVEL=2")
    client.load_verify_locations(folder / "root.pem")
    client.load_verify_locations(folder / "lists.pem")
    client.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=NAME),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            return
    raise ssl.SSLError("no end of the handshake")


for line in sys.stdin:
    try:
        handshake(pathlib.Path(line.strip()))
        answer = {"accepted": True, "reason": None}
    except (ssl.SSLError, ValueError) as error:
        answer = {"accepted": False, "reason": str(error)}
    print(json.dumps(answer), flush=True)
