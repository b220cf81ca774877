"""The good stack over TLS, over HTTP/2 and over HTTP/3, with a certificate made for the occasion.

Knows how to put two answers on the wire. Shares no code with gatebench.contract.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mutants.stack import Stack


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that nobody trusts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gatebench")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(secret)
    return folder / "cert.pem", folder / "key.pem"


class Secured(Stack):
    """The good stack behind TLS, which speaks HTTP/2 to those who offer it."""

    protocols: tuple[str, ...] = ("h2", "http/1.1")

    def __init__(self, cert: Path, key: Path) -> None:
        super().__init__()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.set_alpn_protocols(list(self.protocols))

    def serve(self, client: socket.socket) -> None:
        with self.context.wrap_socket(client, server_side=True) as secured:
            if secured.selected_alpn_protocol() == "h2":
                serve_h2(self, secured)
            else:
                super().serve(secured)


class SecuredWithoutH2(Secured):
    protocols = ("http/1.1",)


class ClearH2(Stack):
    """HTTP/2 in clear, to those who know."""

    def serve(self, client: socket.socket) -> None:
        serve_h2(self, client)


class Silent(ClearH2):
    """Takes the connection up and never answers."""

    def serve(self, client: socket.socket) -> None:
        while client.recv(65536):
            pass


def serve_h2(stack: Stack, client: socket.socket) -> None:
    """Serve one connection of HTTP/2 to its end."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    http.initiate_connection()
    client.sendall(http.data_to_send())
    while data := client.recv(65536):
        for event in http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                headers = {str(name): str(value) for name, value in event.headers}
                response = stack.answer("GET", headers[":path"], b"")
                http.send_headers(event.stream_id, [(":status", stack.status().split()[0])])
                http.send_data(event.stream_id, response.body, end_stream=True)
        client.sendall(http.data_to_send())


@contextlib.contextmanager
def serving_h3(stack: Stack, cert: Path, key: Path) -> Iterator[int]:
    """Serve a stack over HTTP/3 on a free port, and nothing else there."""

    class Protocol(QuicConnectionProtocol):
        http: H3Connection | None = None

        def quic_event_received(self, event: QuicEvent) -> None:
            if isinstance(event, ProtocolNegotiated):
                self.http = H3Connection(self._quic)
            for piece in self.http.handle_event(event) if self.http is not None else ():
                if isinstance(piece, HeadersReceived) and self.http is not None:
                    response = stack.answer("GET", dict(piece.headers)[b":path"].decode(), b"")
                    status = stack.status().split()[0].encode()
                    self.http.send_headers(piece.stream_id, [(b":status", status)])
                    self.http.send_data(piece.stream_id, response.body, end_stream=True)
            self.transmit()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    ready, loops = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def main() -> None:
        configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
        configuration.load_cert_chain(cert, key)
        server = await serve("127.0.0.1", port, configuration=configuration, create_protocol=Protocol)
        done = asyncio.Event()
        loops.append((asyncio.get_running_loop(), done))
        ready.set()
        await done.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield port
    finally:
        for loop, done in loops:
            loop.call_soon_threadsafe(done.set)
        thread.join()
