"""A real serial port of this machine: a USB adapter whose other end is wired to a unit."""

import serial

from firmware_sim.ports import PortError


class SerialPort:
    """8 data bits, no parity, one stop bit, no flow control; never blocks. Whether anybody listens cannot be known."""

    is_listening = True

    def __init__(self, path: str, baud: int) -> None:
        """Raises PortError with the reason."""
        try:
            self._port = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, ValueError) as error:  # serial.SerialException is an OSError
            raise PortError(f"{path} cannot be opened: {error}") from None

    def fileno(self) -> int:
        """For poll."""
        return int(self._port.fileno())

    def receive(self) -> bytes:
        """What the unit has written since the last call."""
        try:
            return bytes(self._port.read(self._port.in_waiting or 0))
        except OSError as error:
            raise PortError(f"{self._port.port} is gone: {error}") from None

    def write(self, data: bytes | bytearray) -> int:
        """Bytes taken; a line that is slower than its bytes takes none."""
        try:
            return int(self._port.write(data) or 0)
        except serial.SerialTimeoutException:
            return 0
        except OSError as error:
            raise PortError(f"{self._port.port} is gone: {error}") from None

    def close(self) -> None:
        """Give it back."""
        self._port.close()
