"""Headless Chromium on the real web process: what a person sees, and that it moves by itself."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.server.web.conftest import VIN
from tests.server.web.test_serving import served
from tests.server.web.world import PASSWORD, World, free_port, loop, sample, small_world
from wire.records import Event, TimeQuality

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        shutil.which("chromium") is None or shutil.which("chromedriver") is None,
        reason="Chromium is not installed (Debian packages chromium and chromium-driver)",
    ),
]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A fresh Chromium that keeps what its console says."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def lively(tmp_path: Path) -> Iterator[World]:
    """甲's vehicle, driving until now by the real clock."""
    with small_world(tmp_path) as world:
        world.add_vehicle("甲汽车金融", VIN, "京A·12345", "朗逸", "PW000001")
        drive = loop(now_ms() - 300_000, 300)
        world.hear("PW000001", drive, now_ms())
        yield world


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def wait(browser: webdriver.Chrome, condition: Any, what: str) -> Any:
    # A page that is just being left gives elements that are gone by the time they are asked.
    passing = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, 15, 0.1, passing).until(condition, what)


def one(browser: webdriver.Chrome, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def shown(browser: webdriver.Chrome, fact: str) -> str:
    return one(browser, f'[data-fact="{fact}"] .value').text


def log_in(browser: webdriver.Chrome, home: str) -> None:
    browser.get(home)
    one(browser, "[name=login]").send_keys("jia")
    one(browser, "[name=password]").send_keys(PASSWORD)
    one(browser, "button.main").click()
    wait(browser, lambda it: it.current_url.endswith("/vehicles"), "logged in")


def complaints(browser: webdriver.Chrome) -> list[Any]:
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_the_vehicle_page_moves_by_itself(browser: webdriver.Chrome, lively: World) -> None:
    port = free_port()
    with served(lively, port):
        log_in(browser, f"http://127.0.0.1:{port}/")
        browser.get(f"http://127.0.0.1:{port}/vehicles/{lively.vehicles[VIN]}?hours=1")
        wait(browser, lambda it: one(it, ".live").get_attribute("data-live") == "live", "the page is live")
        wait(browser, lambda it: it.find_elements(By.CSS_SELECTOR, ".vehicle-marker"), "the vehicle is on the map")
        marker = one(browser, ".vehicle-marker")
        before = (marker.location, marker.get_attribute("data-lat"), shown(browser, "speed"))
        drawn = one(browser, "#drawn").text
        assert "300" in drawn
        assert browser.find_elements(By.CSS_SELECTOR, ".graticule-label.lat")
        browser.execute_script("window.isTheSamePage = true")

        at = now_ms()
        on = [sample(at + 1000 * i, 39.9187 + i * 1e-4, 116.4075, speed_mps=25.0) for i in range(3)]
        told = [Event("trouble_codes", 1, at, TimeQuality.GNSS, {"codes": "P0301"})]
        lively.hear("PW000001", on, at, told)

        wait(browser, lambda it: shown(it, "speed") == "90", "the new speed is shown")
        wait(browser, lambda it: one(it, ".vehicle-marker").get_attribute("data-lat") == "39.9189", "the marker moved")
        after = one(browser, ".vehicle-marker")
        assert after.location != before[0]
        assert after.get_attribute("data-lat") != before[1]
        assert shown(browser, "speed") != before[2]
        assert "303" in one(browser, "#drawn").text
        assert "P0301" in one(browser, "#events").text
        assert browser.execute_script("return window.isTheSamePage") is True
        assert complaints(browser) == []


def test_list_and_map_are_live_too_and_the_language_is_one_click_away(browser: webdriver.Chrome, lively: World) -> None:
    port = free_port()
    with served(lively, port):
        log_in(browser, f"http://127.0.0.1:{port}/")
        wait(browser, lambda it: one(it, ".live").get_attribute("data-live") == "live", "the list is live")
        lively.hear("PW000001", [sample(now_ms(), speed_mps=30.0)], now_ms())
        wait(browser, lambda it: shown(it, "speed") == "108", "the list shows the new speed")
        assert "秒" in one(browser, '[data-fact="heard"] .age').text
        one(browser, "button[name=locale]").click()
        wait(browser, lambda it: one(it, "html").get_attribute("lang") == "en", "the page is English")
        assert one(browser, "h1").text == "Vehicles"
        browser.get(f"http://127.0.0.1:{port}/map")
        wait(browser, lambda it: "On the map: 1" in one(it, "#shown").text, "the vehicle is on the map")
        wait(browser, lambda it: "京A·12345" in one(it, "#map").text, "its name stands beside it")
        assert complaints(browser) == []


def test_a_page_whose_login_ended_says_so(browser: webdriver.Chrome, lively: World) -> None:
    port = free_port()
    with served(lively, port):
        log_in(browser, f"http://127.0.0.1:{port}/")
        wait(browser, lambda it: one(it, ".live").get_attribute("data-live") == "live", "the list is live")
        browser.execute_script(
            "const form = new URLSearchParams({csrf_token: document.querySelector('[name=csrf_token]').value});"
            "return fetch('/logout', {method: 'POST', body: form, redirect: 'manual'}).then(() => true)"
        )
        wait(browser, lambda it: one(it, ".live").get_attribute("data-live") == "ended", "the page says that it ended")
