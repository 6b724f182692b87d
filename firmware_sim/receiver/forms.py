"""How the receivers of each make write: order, decimals, what stands for "none". Pure: a table.

Sources: recorded transcripts in gpsd's regression suite (test/daemon): quectel-l76k-nmea.log (CASIC; 10^-5 minutes,
three decimals of a second, one of a DOP, course kept while standing), ublox-neo-m9n-nmea.log (satellites used in GGA at
most 12), unicore-um621.log (UFirebird; GB, no geoid separation). CASIC without a fix ($GNGSA ... 25.5,25.5,25.5,1,
$GPGSV,1,1,00,0, antenna text each epoch): logs of AT6558R modules with firmware URANUS5 V5.3.0.0, as many projects keep
them. N4 ($GNGGA,,,,,,0,,,,,,,, without a fix, 10^-8 minutes): Unicore Reference Commands Manual for N4 products, GPGGA.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Form:
    """The hand of one make."""

    order: tuple[str, ...]  # of the types within an epoch; types not named follow in the order of SENTENCES
    talkers: tuple[str, str] = ("GN", "GB")  # of positions, and of BeiDou's satellites, where the settings name none
    second_decimals: int = 2
    minute_decimals: int = 5
    dop_decimals: int = 2
    speed_decimals: int = 3
    no_dop: str = "99.99"
    no_count: str = "00"
    max_count: int = 99  # satellites used, as GGA tells them
    course_from_mps: float = 0.5  # below this speed the course is left empty
    signal_ids: bool = True  # GSV ends with a signal id; CASIC writes 0 for all
    banner: tuple[str, ...] = ()  # TXT sentences (without $ and checksum) after a start
    texts: tuple[str, ...] = ()  # TXT sentences of every epoch


_UBLOX_ORDER = ("RMC", "VTG", "GGA", "GSA", "GSV", "GLL")
_CASIC_ORDER = ("GGA", "GLL", "GSA", "GSV", "RMC", "VTG", "ZDA", "TXT")

FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "generic": Form(_UBLOX_ORDER, texts=("GNTXT,01,01,02,ANTENNA OK",)),
        "casic": Form(
            _CASIC_ORDER,
            talkers=("GN", "BD"),
            second_decimals=3,
            dop_decimals=1,
            speed_decimals=2,
            no_dop="25.5",
            course_from_mps=0.0,
            signal_ids=False,
            banner=(
                "GPTXT,01,01,02,MA=CASIC",
                "GPTXT,01,01,02,IC=AT6558R-5N-32-1C580901",
                "GPTXT,01,01,02,SW=URANUS5,V5.3.0.0",
                "GPTXT,01,01,02,TB=2020-04-28,13:43:10",
                "GPTXT,01,01,02,MO=GB",
            ),
            texts=("GPTXT,01,01,01,ANTENNA OK",),
        ),
        "ublox": Form(
            _UBLOX_ORDER,
            max_count=12,
            banner=(
                "GNTXT,01,01,02,u-blox AG - www.u-blox.com",
                "GNTXT,01,01,02,HW UBX 10 000A0000",
                "GNTXT,01,01,02,ROM SPG 5.10 (7b202e)",
                "GNTXT,01,01,02,FWVER=SPG 5.10",
                "GNTXT,01,01,02,PROTVER=34.10",
            ),
        ),
        "ublox_m8": Form(
            _UBLOX_ORDER,
            max_count=12,
            banner=(
                "GNTXT,01,01,02,u-blox AG - www.u-blox.com",
                "GNTXT,01,01,02,HW UBX-M8030 00080000",
                "GNTXT,01,01,02,ROM CORE 3.01 (107888)",
                "GNTXT,01,01,02,FWVER=SPG 3.01",
                "GNTXT,01,01,02,PROTVER=18.00",
            ),
        ),
        "unicore": Form(("RMC", "GGA", "GSA", "GSV", "VTG", "ZDA")),
        "unicore_n4": Form(("GGA", "RMC", "GSA", "GSV"), minute_decimals=8, no_dop="9999.0", no_count=""),
    }
)
