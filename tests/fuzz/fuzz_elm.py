# SPDX-License-Identifier: GPL-2.0-or-later
# Loads the worker, like virtual_elm.py, and is only ever run.
"""Fuzzing of the OBD worker with what an adapter could say; libFuzzer's options are taken as they are.

    python tests/fuzz/fuzz_elm.py -max_total_time=60 [corpus folder]
    python tests/fuzz/fuzz_elm.py -runs=800 -seed=1 -len_control=0 -max_len=2000

Must hold for any bytes: no exception leaves the worker, every line is JSON of a known kind, and no line is later than
the supervisor's deadline, so that an adapter that can be used is never killed.
"""

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
with atheris.instrument_imports(include=["edge_agent", "obd"]):
    from virtual_elm import Play

CONNECT_S, DEADLINE_S = 45.0, 8.0  # virtual: a connection that takes longer than 20 s is killed and made anew
KINDS = ({"hello"}, {"asking"}, {"mono_s", "name", "value"}, {"silent"}, {"doing", "next_line_s"}, {"error"})
PLAUSIBLE = {
    b"ATZ": b"\r\rELM327 v1.5\r\r>",
    b"ATI": b"ELM327 v1.5\r\r>",
    b"ATRV": b"12.4V\r\r>",
    b"ATDPN": b"A6\r\r>",
    b"0100": b"7E8 06 41 00 FF FF FF FF \r7E9 06 41 00 98 18 00 01 \r\r>",
    b"0101": b"7E8 06 41 01 82 07 E5 00 \r\r>",
    b"010C": b"7E8 04 41 0C 17 70 \r\r>",
    b"010D": b"7E8 03 41 0D 2A \r\r>",
    b"03": b"7E8 10 08 43 03 01 00 02 00 \r7E8 21 C1 00 00 00 00 00 00 \r\r>",
    b"07": b"87 F1 10 47 03 01 00 00 00 00 CF \r\r>",
    b"0902": b"7E8 10 14 49 02 01 31 48 47 \r7E8 21 43 4D 38 32 36 33 33 \r7E8 22 41 30 30 34 33 35 32 \r\r>",
}
TEXTS = (
    b"NO DATA\r\r>",
    b"?\r\r>",
    b"",
    b">",
    b"OK",
    b"SEARCHING...\r",
    b"BUS INIT: ERROR\r\r>",
    b"CAN ERROR\r\r>",
    b"STOPPED\r\r>",
)


def one(data: bytes) -> None:
    given = atheris.FuzzedDataProvider(data)
    protocol = given.PickValueInList([None, "6", "7", "5", "3", "1", "A"])
    friendly = given.ConsumeBool()  # lets the connection through, so that the questions are reached

    def reply(command: bytes, _now_s: float) -> bytes:
        good = PLAUSIBLE.get(
            command, b"OK\r\r>" if command.startswith(b"AT") else b"7E8 03 41 " + command[2:4] + b" 2A \r\r>"
        )
        way = given.ConsumeIntInRange(0, 7)
        if way <= 2 or (friendly and command.startswith(b"AT")):
            return good
        if way == 3:
            return given.PickValueInList(list(TEXTS))
        if way == 4:
            return good[: given.ConsumeIntInRange(0, len(good))]
        if way == 5:
            at = given.ConsumeIntInRange(0, len(good))
            return good[:at] + given.ConsumeBytes(given.ConsumeIntInRange(0, 4)) + good[at + 1 :]
        if way == 6:
            return good[:-1] + good
        return given.ConsumeBytes(given.ConsumeIntInRange(0, 60))

    play = Play(reply, 60.0).run(protocol)
    allowed_s = CONNECT_S
    said_s = 0.0
    for at_s, line in [*play.lines, (play.now_s, {"error": play.ended})]:
        assert set(line) in KINDS, line
        assert at_s - said_s <= allowed_s, f"{at_s - said_s:.1f} s before {line}"
        said_s, allowed_s = at_s, DEADLINE_S + line.get("next_line_s", 0.0)
        if "hello" in line or line.get("doing") == "meeting the car":
            allowed_s = max(allowed_s, CONNECT_S)
    assert play.ended is None or not play.ended.startswith(
        ("IndexError", "ValueError", "KeyError", "UnicodeDecodeError")
    ), play.ended


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
