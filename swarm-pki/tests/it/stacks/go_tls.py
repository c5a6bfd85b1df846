"""Go's TLS (nats-server) as the server of a client with each chain: one JSON line a folder that is named on standard input."""

import json
import pathlib
import socket
import ssl
import sys

PORT = int(sys.argv[1])


def connect(folder):
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # the server is who judges
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    with socket.create_connection(("127.0.0.1", PORT), timeout=10) as plain:
        # NATS greets in the clear, then the TLS handshake follows
        greeting = b""
        while not greeting.endswith(b"\r\n"):
            greeting += plain.recv(1)
        with client.wrap_socket(plain) as stream:
            stream.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
            return stream.recv(4) == b"PONG"


for line in sys.stdin:
    try:
        answer = {"accepted": connect(pathlib.Path(line.strip())), "reason": None}
    except OSError as error:
        answer = {"accepted": False, "reason": str(error)}
    print(json.dumps(answer), flush=True)
