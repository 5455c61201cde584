"""A proxy that takes Google's hosts for ours: python tls_proxy.py CERTIFICATE KEY PORT

Clients that have Google's names built in reach a plain HTTP server on loopback through it. Prints
its own port, and ends with its standard input.
"""

import os
import socket
import ssl
import sys
import threading

CERTIFICATE, KEY, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])


def pipe(source, target):
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        pass
    finally:
        # Both ends must learn that it is over.
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(client, context):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            return
        head += byte
    assert head.startswith(b"CONNECT "), head
    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
    client = context.wrap_socket(client, server_side=True)
    server = socket.create_connection(("127.0.0.1", PORT))
    threading.Thread(target=pipe, args=(client, server), daemon=True).start()
    pipe(server, client)


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def end_with_input():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_input, daemon=True).start()
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, context), daemon=True).start()


main()
