"""What AT and ST commands change in an adapter. The defaults are the state after AT Z."""

from dataclasses import dataclass

DEFAULT_TIMEOUT = 0x32  # AT ST, in steps of 4 ms (ELM327 data sheet, AT ST hh)


@dataclass(frozen=True, slots=True)
class Settings:
    """One adapter's switches; `protocol` is the only one that outlives a reset, see `Adapter`."""

    echo: bool = True
    linefeeds: bool = False
    spaces: bool = True
    headers: bool = False
    dlc: bool = False  # AT D1: with headers, the number of data bytes of a CAN frame
    responses: bool = True
    formatting: bool = True  # AT CAF
    flow_control: bool = True  # AT CFC: without it an ECU sends only the first frame of a long answer
    memory: bool = True  # AT M: a protocol that the search found is kept over a reset
    protocol: str = "0"  # as chosen; "0" is automatic with nothing found yet
    automatic: bool = True
    found: bool = False  # the bus is initialised: the search found the car, or a K-line was woken
    header: int | None = None  # AT SH; None: the protocol's functional address
    priority: int = 0x18  # AT CP, CAN 29 bit: what stands before AT SH's six digits
    wanted_id: int = 0  # CAN ids that are let through: those that agree with this
    wanted_mask: int = 0  # in these bits (AT CRA, AT CF, AT CM)
    timeout: int = DEFAULT_TIMEOUT
    timing: int = 1  # AT AT 0, 1, 2: adaptive timing off, on, aggressive
    stored_byte: int = 0xFF  # AT SD, AT RD
    description: str = ""  # AT @3, AT @2
