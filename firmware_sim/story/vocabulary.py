"""The words of a story: kinds of acts, faults and commands, each with what it takes. One table each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ActKind:
    """One kind of act. `keys`: what it takes besides name, do and its length."""

    zh: str
    en: str
    keys: tuple[str, ...] = ()
    moves: bool = False
    is_parked: bool = False  # its hours may be skipped


ACTS: Mapping[str, ActKind] = MappingProxyType(
    {
        "drive": ActKind("开车", "drive", ("to", "city", "style"), moves=True),
        "replay": ActKind("按录制轨迹行驶", "drive a recorded way", ("recording", "trip", "from_s"), moves=True),
        "idle": ActKind("怠速", "idle, engine running"),
        "crank": ActKind("启动机转动", "starter turning, engine does not catch"),
        "off": ActKind("终端断电", "the unit has no power at all", is_parked=True),
        "park": ActKind("停车", "park, key off", is_parked=True),
        "tow": ActKind("被拖走", "towed with its wheels on the road", ("to", "city", "speed_kmh"), moves=True),
        "flatbed": ActKind("平板车运走", "carried on a flatbed", ("to", "city", "speed_kmh"), moves=True),
        "ferry": ActKind("轮渡", "carried on a ferry", ("to", "city", "speed_kmh"), moves=True),
        "roll": ActKind("溜车", "roll, key off", ("metres",), moves=True),
        "away": ActKind(
            "终端被带离车辆",
            "the unit is carried away without the car",
            ("to", "city", "speed_kmh"),
            moves=True,
            is_parked=True,
        ),
    }
)
STYLES = ("calm", "hard", "bumpy", "stop_and_go", "crash")

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "receiver": "定位模块",
        "adapter": "OBD 适配器",
        "car": "车辆",
        "unit": "终端",
        "network": "网络",
        "broker": "消息服务器",
        "server": "服务器",
        "ports": "端口",
        "clock": "系统时钟",
    }
)
# Faults of the bench itself, and whether they take a value. What happens once has no for_s.
BENCH_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "unit.kill": "the agent is killed (-9) and started again when the fault ends, at least 1 s later",
        "unit.power_cut": "the same, and with the power the kernel begins anew: its clock starts at 0",
        "unit.backup_supply": "external power is gone, the unit lives on",
        "unit.disk_full": "no file of the unit can grow",
        "network.down": "the unit reaches nobody",
        "broker.down": "the broker is killed, and has forgotten everything when it comes back",
        "server.down": "ingest and pages are stopped",
        "ports.renumbered": "both serial bridges go away and come back under each other's names",
        "clock.jump_s": "the unit's system clock jumps by the value, in s",
        "clock.undisciplined": "nobody sets the unit's system clock over the network",
    }
)
ONCE = frozenset({"ports.renumbered", "clock.jump_s"})
