"""The network between a unit and its broker, as far as it can be cut: a relay of bytes, one port a unit."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

_READ_BYTES = 16384


class Line:
    """One unit's way to the broker; it is told from any thread."""

    def __init__(self, network: "Network", broker_port: int) -> None:
        self._network, self._broker_port = network, broker_port
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._ways: set[asyncio.StreamWriter] = set()
        self.port = network.do(self._listen(0))

    def stall(self) -> None:
        """From now on no byte passes; connections stay."""
        self._network.do(self._set_passing(False))

    def refuse(self) -> None:
        """From now on nobody listens, and what was connected is reset."""
        self._network.do(self._refuse())

    def reset(self) -> None:
        """What is connected is reset, once."""
        self._network.do(self._reset())

    def mend(self) -> None:
        """All is well again."""
        self._network.do(self._mend())

    async def _listen(self, port: int) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def _set_passing(self, passes: bool) -> None:
        (self._open.set if passes else self._open.clear)()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for each in tuple(self._ways):
            each.transport.abort()

    async def _mend(self) -> None:
        self._open.set()
        if self._server is None:
            await self._listen(self.port)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ways.add(writer)
        further: asyncio.StreamWriter | None = None
        try:
            back, further = await asyncio.open_connection("127.0.0.1", self._broker_port)
            self._ways.add(further)
            await asyncio.wait(
                [asyncio.create_task(self._pass(reader, further)), asyncio.create_task(self._pass(back, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except OSError:
            pass
        finally:
            for each in (writer, further):
                if each is not None:
                    self._ways.discard(each)
                    each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ_BYTES):
                await self._open.wait()
                writer.write(data)
                await writer.drain()


class Network:
    """Runs all lines in one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it in the loop's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        self.do(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
