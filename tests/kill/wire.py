"""A PostgreSQL client of simple queries, without dependencies: a connection that notices at once when the server is gone."""

import socket
import struct


class Gone(Exception):
    """The server is not there, or went away before it answered."""


class Refused(Exception):
    """The server answered with an error; its code is in `code`."""

    def __init__(self, fields: dict):
        super().__init__(f"{fields.get('C')}: {fields.get('M')}")
        self.code = fields.get("C")


class Connection:
    def __init__(self, port: int):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
            parameters = b"user\0kill\0database\0millstream\0\0"
            self.socket.sendall(struct.pack("!ii", len(parameters) + 8, 196608) + parameters)
            self.stream = self.socket.makefile("rb")
            self._until_ready()
        except OSError as error:
            raise Gone from error

    def sql(self, text: str) -> list:
        """The rows of the last statement of a text."""
        query = text.encode() + b"\0"
        try:
            self.socket.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)
            return self._until_ready()
        except OSError as error:
            raise Gone from error

    def close(self) -> None:
        self.socket.close()

    def _until_ready(self) -> list:
        rows, error = [], None
        while True:
            kind, body = self._message()
            if kind == b"T":
                rows = []
            elif kind == b"D":
                rows.append(_row(body))
            elif kind == b"E":
                parts = body.rstrip(b"\0").split(b"\0")
                error = Refused({part[:1].decode(): part[1:].decode() for part in parts if part})
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    def _message(self):
        head = self.stream.read(5)
        if len(head) < 5:
            raise Gone
        length = struct.unpack("!i", head[1:])[0] - 4
        body = self.stream.read(length)
        if len(body) < length:
            raise Gone
        return head[:1], body


def _row(body: bytes) -> tuple:
    (count,) = struct.unpack("!h", body[:2])
    at, cells = 2, []
    for _ in range(count):
        (length,) = struct.unpack("!i", body[at:at + 4])
        at += 4
        if length < 0:
            cells.append(None)
        else:
            cells.append(body[at:at + length].decode())
            at += length
    return tuple(cells)
