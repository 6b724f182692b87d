"""Times and numbers as people read them."""

from datetime import UTC

from server.web.display import NOTHING, Shown, iso_utc, number, position, shown_time, speed, time_zone_of, zone_name

AT = 1_795_000_000_250


def test_a_time_is_the_lenders_with_utc_behind_it() -> None:
    shown = shown_time(AT, time_zone_of("Asia/Shanghai"))
    assert (shown.text, shown.title) == ("2026-11-18 19:06:40", "2026-11-18 11:06:40 UTC")
    assert shown_time(AT, time_zone_of("America/New_York")).text == "2026-11-18 06:06:40"
    assert shown_time(AT - 150 * 86_400_000, time_zone_of("America/New_York")).text == "2026-06-21 07:06:40"
    assert shown_time(None, UTC) == Shown(NOTHING)
    assert shown_time(10**18, UTC) == Shown(NOTHING)
    assert iso_utc(AT) == "2026-11-18T11:06:40.250Z"
    assert iso_utc(None) is None


def test_an_unknown_zone_is_utc_and_says_so() -> None:
    assert time_zone_of("Mars/Olympus") is UTC
    assert zone_name(UTC, AT) == "UTC"
    assert zone_name(time_zone_of("Asia/Shanghai"), AT) == "Asia/Shanghai (UTC+08:00)"


def test_numbers() -> None:
    assert number(48211.36, 1, "km") == Shown("48,211.4", "km")
    assert number(None, 1, "km") == Shown(NOTHING)
    assert speed(10.0).text == "36"
    assert position(-33.86882, 151.20929).text == "33.86882° S, 151.20929° E"
    assert position(39.9, None) == Shown(NOTHING)
    assert number(0, 0).as_json() == {"text": "0"}
