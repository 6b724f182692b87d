"""Where the towns lie: thirteen cities of twelve provincial units, and the town beyond each border. Pure.

Centres and altitudes are rounded public figures; bearings and block lengths are plausible, not surveyed. The streets
are a grid laid over the real centre (`streets.py`): no map of China is copied, and none is needed to test a unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class City:
    """Where the grid lies; the bearing is that of its "northward" streets, clockwise from true north."""

    name: str
    name_zh: str
    province: str  # provincial unit, as its own name says it: 四川省 is "Sichuan"
    lat_deg: float
    lon_deg: float
    bearing_deg: float
    block_m: float
    altitude_m: float
    beyond: str  # a city of another provincial unit, for cars that leave theirs


CITIES: Mapping[str, City] = MappingProxyType(
    {
        city.name: city
        for city in (
            City("beijing", "北京", "Beijing", 39.9042, 116.4074, 0.0, 560.0, 44.0, "langfang"),
            City("shanghai", "上海", "Shanghai", 31.2304, 121.4737, 12.0, 380.0, 4.0, "suzhou"),
            City("guangzhou", "广州", "Guangdong", 23.1291, 113.2644, 5.0, 400.0, 21.0, "changsha"),
            City("shenzhen", "深圳", "Guangdong", 22.5431, 114.0579, 8.0, 450.0, 12.0, "changsha"),
            City("chengdu", "成都", "Sichuan", 30.5728, 104.0668, 32.0, 420.0, 500.0, "chongqing"),
            City("chongqing", "重庆", "Chongqing", 29.5630, 106.5516, 40.0, 330.0, 240.0, "chengdu"),
            City("wuhan", "武汉", "Hubei", 30.5928, 114.3055, 22.0, 430.0, 23.0, "changsha"),
            City("xian", "西安", "Shaanxi", 34.3416, 108.9398, 0.0, 520.0, 405.0, "chengdu"),
            City("hangzhou", "杭州", "Zhejiang", 30.2741, 120.1551, 10.0, 400.0, 10.0, "suzhou"),
            City("shenyang", "沈阳", "Liaoning", 41.8057, 123.4315, 28.0, 450.0, 45.0, "beijing"),
            City("suzhou", "苏州", "Jiangsu", 31.2990, 120.5853, 4.0, 430.0, 5.0, "shanghai"),
            City("langfang", "廊坊", "Hebei", 39.5380, 116.6838, 6.0, 480.0, 13.0, "beijing"),
            City("changsha", "长沙", "Hunan", 28.2282, 112.9388, 3.0, 440.0, 60.0, "wuhan"),
        )
    }
)
