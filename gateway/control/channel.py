"""A socket pair that carries messages: four bytes of length, then MessagePack."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import MsgspecError, Struct, msgpack

if TYPE_CHECKING:
    import socket

# Settings with ten thousand routes take 3 MB, a snapshot of all of them 2 MB.
LARGEST: Final = 16 * 1024 * 1024
_LENGTH: Final = 4

In = TypeVar("In")


class ChannelBroken(Exception):
    """What came, or what should go, cannot be a message; the channel is of no more use."""


class Channel(Generic[In]):
    """One end of a channel on which messages of the union ``In`` arrive."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: msgpack.Decoder[In]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decode = decoder.decode
        self._encode = msgpack.Encoder().encode

    @classmethod
    async def open(cls, end: socket.socket, decoder: msgpack.Decoder[In]) -> Channel[In]:
        """Take over one end of a socket pair."""
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=LARGEST)
        return cls(reader, writer, decoder)

    @property
    def is_clear(self) -> bool:
        """Whether everything sent so far has been taken by the kernel."""
        return self._writer.transport.get_write_buffer_size() == 0

    def send(self, message: Struct) -> None:
        """Send one message without waiting; ChannelBroken when it is too large or too much waits already."""
        data = self._encode(message)
        if len(data) > LARGEST:
            text = f"a message of {len(data)} bytes is larger than {LARGEST}"
            raise ChannelBroken(text)
        if self._writer.transport.get_write_buffer_size() > LARGEST:
            text = "the other end does not read"
            raise ChannelBroken(text)
        if not self._writer.is_closing():
            self._writer.write(len(data).to_bytes(_LENGTH, "big") + data)

    async def receive(self) -> In | None:
        """The next message; None when the other end is gone, ChannelBroken for what is not a message."""
        try:
            head = await self._reader.readexactly(_LENGTH)
            length = int.from_bytes(head, "big")
            if length > LARGEST:
                text = f"a frame of {length} bytes is larger than {LARGEST}"
                raise ChannelBroken(text)
            return self._decode(await self._reader.readexactly(length))
        except asyncio.IncompleteReadError as error:
            if error.partial or error.expected != _LENGTH:
                text = f"a frame was torn after {len(error.partial)} of {error.expected} bytes"
                raise ChannelBroken(text) from None
            return None
        except ConnectionError:
            return None
        except MsgspecError as error:
            text = f"a frame is not a message: {error}"
            raise ChannelBroken(text) from None

    async def flush(self, within: float) -> None:
        """Wait until the kernel has taken everything, for at most ``within`` seconds."""
        if self._writer.is_closing():
            return
        self._writer.transport.set_write_buffer_limits(0)
        try:
            async with asyncio.timeout(within):
                await self._writer.drain()
        except (TimeoutError, ConnectionError):
            pass

    def close(self) -> None:
        """Close this end."""
        self._writer.close()
