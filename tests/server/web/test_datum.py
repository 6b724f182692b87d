"""The published points of the common implementations."""

import pytest

from server.web.datum import in_china_box, to_bd09, to_gcj02, to_map


@pytest.mark.parametrize(
    ("wgs", "gcj"),
    [
        # googollee/eviltransform, python/test.py
        ((31.1774276, 121.5272106), (31.17530398364597, 121.531541859215)),
        ((22.543847, 113.912316), (22.540796131694766, 113.9171764808363)),
        ((39.911954, 116.377817), (39.91334545536069, 116.38404722455657)),
        # wandergis/coordtransform, test/app.js
        ((39.915, 116.404), (39.91640428150164, 116.41024449916938)),
    ],
)
def test_gcj02_is_what_others_compute(wgs: tuple[float, float], gcj: tuple[float, float]) -> None:
    assert to_gcj02(*wgs) == pytest.approx(gcj, abs=1e-10)
    assert to_map("gcj02", *wgs) == to_gcj02(*wgs)


def test_bd09_is_what_others_compute() -> None:
    assert to_bd09(39.915, 116.404) == pytest.approx((39.92133699351021, 116.41036949371029), abs=1e-10)
    assert to_map("bd09", 39.915, 116.404) == to_bd09(*to_gcj02(39.915, 116.404))


@pytest.mark.parametrize("place", [(35.68, 139.77), (48.86, 2.35), (-33.87, 151.21), (0.0, 0.0)])
def test_nothing_moves_outside_china(place: tuple[float, float]) -> None:
    assert not in_china_box(*place)
    assert to_map("gcj02", *place) == place


def test_a_wgs84_map_moves_nothing() -> None:
    assert to_map("wgs84", 39.915, 116.404) == (39.915, 116.404)
