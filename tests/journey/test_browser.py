"""A person logs in and sees the vehicle move on the map: receiver, adapter, agent, broker, server, browser are real."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.journey.world import World, until

PASSWORD = "ein langes Wort 4711"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromium-driver (Debian packages) are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "window-size=1400,900", f"user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    yield made
    made.quit()


@pytest.mark.browser
def test_the_vehicle_moves_on_the_map(world: World, browser: webdriver.Chrome) -> None:
    folder = world.add_unit("PW000001", obd=True, batch="after_s = 1.0")
    world.add_user("wang", PASSWORD)
    world.start("broker", "ingest", "web", "agent PW000001")
    links = ("--gnss-link", folder / "gnss", "--obd-link", folder / "obd")
    world.play("sim", "drive", "--city", "chengdu", "--seed", "7", "--start", "now", "--duration", "600", *links)
    world.wait_for_web()
    driving = "select 1 from vehicle_states where speed_mps > 3 and engine_rpm > 0"
    until(lambda: world.rows(driving), 90, "the car drives, and the adapter says so too")

    # A page that has just changed under us is looked at again.
    wait = WebDriverWait(browser, 30, ignored_exceptions=[NoSuchElementException, StaleElementReferenceException])
    browser.get(world.url)
    assert "登录" in browser.title
    browser.find_element(By.NAME, "login").send_keys("wang")
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    browser.find_element(By.CSS_SELECTOR, "button.main").click()
    wait.until(lambda b: "京A·T0001" in b.find_element(By.TAG_NAME, "main").text)
    browser.get(browser.find_element(By.LINK_TEXT, "京A·T0001").get_attribute("href"))

    def position(b: webdriver.Chrome) -> tuple[str, str] | None:
        found = b.find_elements(By.CSS_SELECTOR, ".vehicle-marker[data-lat]")
        return (found[0].get_attribute("data-lat"), found[0].get_attribute("data-lon")) if found else None

    seen = [wait.until(position)]
    for _ in range(3):
        seen.append(wait.until(lambda b: here if (here := position(b)) not in (None, seen[-1]) else None))
    assert len(set(seen)) == 4, "four places without a reload"
    # Each place that the map has shown is one that the receiver told: stored, and on the vehicle's track.
    query = "return fetch('/vehicles/1/track.json?hours=1').then(r => r.json())"
    track = browser.execute_script(query)
    told = set(zip(track["lat_deg"], track["lon_deg"], strict=True))
    assert {(float(lat), float(lon)) for lat, lon in seen} <= told
    rpm = browser.find_element(By.CSS_SELECTOR, '[data-fact="rpm"]').text
    assert any(digit in rpm for digit in "123456789")
    problems = [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert not problems
