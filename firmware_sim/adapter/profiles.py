"""The adapters that can be played: two genuine ones, a good clone, and clone families with the faults people met.

Each profile's `about` names its sources: data sheets, public issue threads, and the recorded sessions of
`elm327_transcripts` (named by their thread). Where a source shows that something happens but not how often, the share
here is a choice: high enough that a test of a minute meets it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from firmware_sim.adapter.profile import Pace, Profile

_BLUETOOTH = Pace(packet_s=0.02, link_s=0.04)  # ddt4all issue 652: 16 to 110 ms from command to answer
_SLOW_BLUETOOTH = Pace(baud=9_600, packet_s=0.05, link_s=0.08)  # 40 to 60 ms between pieces in ELMduino issue 279's log

# What the app ELM327 Identifier found missing in an "ELM327 v2.1" (CanZE issue 393), and people in its like (ddt4all
# issue 16: AT FC SH and AT FC SM; forscan.org t=1575, number 1: half of the commands).
_FAKE_V21_REFUSES = (
    "SP00|NL|AMC|AMT..|RA..|SR..|BD|CEA.*|C[FM]........|CP..|CRA|CS|CTM.|CV....|FC.*|FE|FI|IB(?!10|96).*|IFR.*|IIA..|J.*"
    "|KW.*|LP|M[APRT].*|PP.*|RD|RTR|SD..|SI|SS|SW..|TA..|V[01]|WM.*|WS|@2|@3.*"
)

_ALL = (
    Profile(
        "elm327_v14b",
        "A genuine ELM327 v1.4b on a USB bridge, as its data sheet says.",
        version="ELM327 v1.4b",
        level="1.4b",
    ),
    Profile(
        "elm327_v22",
        "A genuine ELM327 v2.2 on a USB bridge, as its data sheet says.",
        version="ELM327 v2.2",
        level="2.2",
    ),
    Profile(
        "elm327_v15",
        "The common good clone, which calls itself v1.5, a version that Elm Electronics never made, and knows the"
        " commands of v1.4 (EVNotify issue 216: `AT AMC` is refused, `AT CEA` is not); sessions python-OBD 81, "
        "134, 190.",
    ),
    Profile(
        "stn1110",
        "An STN1110 (OBDLink SX): 115200 baud, four zero bytes before its banner (ELM327-emulator issue 17), ST "
        "commands.",
        version="ELM327 v1.4b",
        level="1.4b",
        chip="STN1110 v4.2.0",
        pace=Pace(baud=115_200),
        lead=b"\0\0\0\0",
    ),
    Profile(
        "v15_noise_lead",
        "v1.5 on a bare UART: a byte FC before its banner, and the end of an answer that comes late: sessions "
        "python-OBD 164, 187 and 206; ELM327-emulator issue 15.",
        lead=b"\xfc",
        init_dots="",
        late_prompt_share=0.3,
        late_prompt_s=0.15,
    ),
    Profile(
        "v15_late_prompt",
        "v1.5, small Bluetooth stick: after a short answer it pauses before carriage return and prompt, so that a "
        "client that gives up early is one answer behind from then on: sessions python-OBD 167 and 184; issues 150 "
        "and 227.",
        pace=_BLUETOOTH,
        late_prompt_share=0.5,
        late_prompt_s=0.3,
    ),
    Profile(
        "v15_quiet_reset",
        "v1.5 that comes up with its echo off and at times leaves the prompt out: session python-OBD 200.",
        echo_at_reset=False,
        drop_prompt_share=0.05,
    ),
    Profile(
        "v21_fake",
        "Says v2.1 and knows less than half of v1.3 (CanZE issue 393, forscan.org t=1575): refuses the rest with "
        "?, sends two bytes of a longer request, drops prompts (session python-OBD 22 has none), starts anew when"
        " the engine is cranked and then says only its banner; sessions PiOBDII 4 and python-OBD 22.",
        version="ELM327 v2.1",
        level="1.4b",
        refused=_FAKE_V21_REFUSES,
        request_bytes=2,
        drop_prompt_share=0.05,
        brown_out_v=9.5,
        says_low_voltage=False,
    ),
    Profile(
        "v15_echo_stuck",
        "v1.5 whose echo, spaces and line feeds cannot be turned off: the log of ELMduino issue 168 has all three"
        " though their commands were accepted.",
        ignored="E0|S0|L0",
    ),
    Profile(
        "v15_echo_twice",
        "v1.5 over WiFi: while its echo is on, every character comes twice: session ELMduino 36.",
        pace=Pace(baud=115_200, packet_s=0.01, link_s=0.01),
        echo_twice=True,
    ),
    Profile(
        "v15_bt_slow",
        "v1.5, slow Bluetooth at 9600 baud that loses bytes of answers (session Freematics 7: `41 0C 000` for `41 0C "
        "00 00`) and counts messages where others count frames (session ELMduino 279).",
        pace=_SLOW_BLUETOOTH,
        drop_byte_share=0.01,
        counts_messages=True,
    ),
    Profile(
        "v15_frames_twice",
        "v1.5 that prints every frame twice: session python-OBD 134.",
        frames_twice=True,
    ),
    Profile(
        "v15_freezes",
        "v1.5 that locks up: at AT TP A0 (ELMduino issue 69), in the middle of a long answer (forscan.org t=1575,"
        " number 2), and after some hundred requests; only a cut of its power helps. Says NOT CONNECTED for "
        "UNABLE TO CONNECT (ELMduino 69), leaves AT AL unanswered (HarleyDroid issue 9), starts anew at 9 V.",
        pace=_BLUETOOTH,
        mute="AL",
        locks_up_at="TPA0",
        no_car="NOT CONNECTED",
        freezes_after_chars=160,
        hangs_after_requests=400,
        brown_out_v=9.0,
        says_low_voltage=False,
    ),
)
PROFILES: Mapping[str, Profile] = MappingProxyType({profile.name: profile for profile in _ALL})
