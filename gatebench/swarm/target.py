"""Where a base URL points, and connections to it: TCP over IPv4 and IPv6, Unix sockets, TLS.

Knows sockets that do not block. Must not know what travels over them, nor Locust.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

from gevent.monkey import get_original

plain_socket = get_original("socket", "socket")  # gevent's own would wait in places of its own
IP_BIND_ADDRESS_NO_PORT = 24  # Linux: the port is chosen at connect, when both ends are known
SOURCES = 64  # loopback addresses to connect from, each with ports of its own
# To connect takes the longer the more of an address's ports are taken: past half, all those are looked through first.
CONNECTIONS_EACH = 8192
RECORD_BYTES = 65536


class HostError(Exception):
    """A base URL that names nothing one can connect to."""


class Target:
    """Where a base URL points: looked up once and at once, since to look up takes a thread and a greenlet to wait."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _malformed(url) from None
        if parts.scheme not in {"http", "https", "http+unix"} or not parts.hostname:
            raise _malformed(url)
        self.prefix = parts.path.rstrip("/")
        self.tls = parts.scheme == "https"
        self._unix = parts.scheme == "http+unix"
        netloc = parts.netloc.rpartition("@")[2]
        self.netloc = "localhost" if self._unix else netloc
        self.name = parts.hostname
        self._path = unquote(netloc)  # of a Unix socket
        self._port = port or (443 if self.tls else 80)
        self._address = self._look_up()
        self._sources = SOURCES if _has_sources(*self._address) else 1
        self._source = 0  # the one in use; 0: what the kernel takes
        self._begun = 0  # connections

    def _look_up(self) -> tuple[int, Any]:
        """Give family and address; of several, the first that takes a connection."""
        if self._unix:
            return socket.AF_UNIX, self._path
        try:
            found = socket.getaddrinfo(self.name, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise HostError(f"the host {self.name!r} is not known here; name it by its address") from error
        if len(found) > 1:
            for family, _, _, _, address in found:
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.settimeout(1)
                    if probe.connect_ex(address) == 0:
                        return family, address
        return found[0][0], found[0][4]

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Make the settings of TLS; the certificate is not looked at, since the server is one's own."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context

    def connect(self) -> socket.socket:
        """Begin to connect and give the socket; OSError where that fails at once."""
        family, address = self._address
        left = self._sources  # each is tried once
        while True:
            left -= 1
            connection: socket.socket = plain_socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                if family != socket.AF_UNIX:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._source:
                    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                    connection.bind((f"127.0.0.{1 + self._source}", 0))
                code = connection.connect_ex(address)
            except BaseException:
                connection.close()
                raise
            if code in {0, errno.EINPROGRESS}:
                self._begun += 1
                if self._begun % CONNECTIONS_EACH == 0:
                    self._next_source()
                return connection
            connection.close()
            if code != errno.EADDRNOTAVAIL or not left:
                raise OSError(code, errno.errorcode.get(code, str(code)))
            self._next_source()

    def _next_source(self) -> None:
        self._source = (self._source + 1) % self._sources  # round again: what was in use may be free by then


def _malformed(url: str) -> HostError:
    return HostError(
        f"the host must be http://NAME:PORT, https://NAME:PORT or http+unix://PATH with its / as %2F, not {url!r}"
    )


def _has_sources(family: int, address: Any) -> bool:
    """Say whether there are other addresses to connect from: on IPv4's loopback."""
    return family == socket.AF_INET and ipaddress.ip_address(address[0]).is_loopback


class Tls:
    """The TLS of one connection, between its bytes and the socket's."""

    __slots__ = ("_in", "_object", "_out", "ended", "ready")

    def __init__(self, target: Target) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = target.context.wrap_bio(self._in, self._out, server_hostname=target.name)
        self.ready = False  # the handshake is done
        self.ended = False  # the peer has said that it will say no more

    def begin(self) -> bytes:
        """Give the first bytes of the handshake."""
        self._handshake()
        return self._out.read()

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what came; give what it says, and what is to be sent back. ssl.SSLError where it is no TLS."""
        self._in.write(data)
        parts = []
        if not self.ready:
            self._handshake()
        while self.ready:
            try:
                part = self._object.read(RECORD_BYTES)
            except ssl.SSLWantReadError:
                break
            if not part:
                self.ended = True
                break
            parts.append(part)
        return b"".join(parts), self._out.read()

    def seal(self, data: bytes) -> bytes:
        """Give the records that say this."""
        self._object.write(data)
        return self._out.read()

    def _handshake(self) -> None:
        try:
            self._object.do_handshake()
            self.ready = True
        except ssl.SSLWantReadError:
            pass
