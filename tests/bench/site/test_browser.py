"""The site in a real headless Chromium: clicks, keys, a phone, the dark, paper, accessibility, hostile names.

Needs the packages of the extra ``site`` and a Chromium on the machine: ``tox -e site``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.site import write_site
from tests.bench.report.synthetic import make_replay, make_run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[site]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing: pip install -e '.[site]'")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium, or set CHROMIUM to its path"),
    pytest.mark.slow,
]
TASKS = [
    "metaworld/drawer-open", "metaworld/door-open", "metaworld/basketball", "metaworld/push", "adroit/hammer",
    "dexart/laptop",
]  # fmt: skip
PAGES = ["index.html", "tasks/metaworld_drawer-open.html", "published.html", "latency.html"]
EVIL = "<img src=x onerror=alert(1)><script>alert(1)</script>"
VARIANTS = {"dp3": 0.9, "dp3@nfe=1": 0.3, "sdm": 0.85, EVIL: 0.6}
TASK_PAGE = PAGES[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(TASKS, VARIANTS, seeds=(0, 1), broken=[(TASKS[1], "sdm")])
    found = [make_replay(run, TASKS[0], v, success=s) for v in ("dp3", "sdm", EVIL) for s in (True, False)]
    return write_site(run, [replay for replay in found if replay], tmp_path_factory.mktemp("site")).parent


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser) -> Iterator[object]:
    yield from opened(browser)


def opened(browser, **options) -> Iterator[object]:
    """A page on which any dialog, error, or word from beyond the disk fails the test."""
    options = {"viewport": {"width": 1200, "height": 900}, **options}
    context = browser.new_context(**options)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("file:") or troubles.append(request.url))
    yield page
    context.close()
    assert troubles == []


def go(page, site: Path, name: str = "index.html") -> None:
    page.goto(f"{site.as_uri()}/{name}")


def column(page, number: int) -> list[str]:
    rows = page.locator("#leaderboard tbody:not([hidden]) tr[data-variant]:visible")
    return [row.locator("th,td").nth(number).inner_text() for row in rows.all()]


def test_sorting_by_clicks(page, site: Path) -> None:
    go(page, site)
    success = [float(cell.split()[0]) for cell in column(page, 1)]
    assert success == sorted(success, reverse=True)
    assert len(success) == len(VARIANTS)
    header = page.locator("#leaderboard thead th")
    header.nth(3).locator("button").click()
    assert header.nth(3).get_attribute("aria-sort") == "ascending"
    times = [float(cell) for cell in column(page, 3)]
    assert times == sorted(times)
    header.nth(3).locator("button").click()
    assert [float(cell) for cell in column(page, 3)] == sorted(times, reverse=True)
    header.nth(5).locator("button").click()
    assert column(page, 5)[-1] == "–"  # the reference has no speed-up: last, whichever way
    header.nth(5).locator("button").click()
    assert column(page, 5)[-1] == "–"
    assert page.locator("#leaderboard th[aria-sort]").count() == 1


def test_filtering_by_suite_difficulty_and_method(page, site: Path) -> None:
    go(page, site)
    everything = column(page, 2)
    page.select_option("#suite", "metaworld")
    assert column(page, 2) != everything
    page.select_option("#difficulty", "easy")
    assert set(column(page, 2)) == {"80"}
    page.select_option("#suite", "DexArt (MuJoCo port)")
    assert page.locator("#tradeoff figure:visible figcaption").all_inner_texts() == [
        "DexArt (MuJoCo port): whole call", "DexArt (MuJoCo port): policy alone",
    ]  # fmt: skip
    page.select_option("#suite", "adroit")  # has no difficulties: back to all
    assert page.locator("#difficulty").input_value() == "all"
    page.select_option("#suite", "metaworld")
    page.locator("#variants input[value='dp3']").uncheck()
    assert len(column(page, 0)) == len(VARIANTS) - 1
    assert page.locator("#leaderboard-status").inner_text() == "3 of 4 methods shown"
    assert page.locator(".chart [data-variant='dp3']:visible").count() == 0
    assert page.locator("article[data-variant='dp3']").is_hidden()
    assert page.locator("#curves [data-method='dp3']:visible").count() > 0  # dp3@nfe=1 is of that training
    page.locator("#variants input[value='dp3@nfe=1']").uncheck()
    assert page.locator("#curves [data-method='dp3']:visible").count() == 0


def test_tooltips_by_pointer_and_by_keyboard(page, site: Path) -> None:
    go(page, site)
    tip, point = page.locator(".tip"), page.locator("#tradeoff figure:visible .point").first
    assert tip.is_hidden()
    point.locator(".mark").hover()
    assert "median" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    page.mouse.move(1, 1)
    point.focus()
    assert tip.is_visible()
    page.keyboard.press("Tab")
    assert tip.inner_text() != ""


def test_by_keyboard_alone(page, site: Path) -> None:
    go(page, site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#leaderboard thead th").nth(6).locator("button").focus()
    page.keyboard.press("Enter")
    assert column(page, 6) == sorted(column(page, 6), key=int)


def test_rows_of_long_tables_are_found_by_their_words(page, site: Path) -> None:
    go(page, site, "published.html")
    rows = page.locator("#figures tbody tr:visible")
    assert rows.count() == 105
    page.locator("[data-find]").fill("dexart  Parameters")
    assert rows.count() == 1
    assert "refused" in rows.inner_text()
    page.locator("[data-find]").fill("")
    assert rows.count() == 105
    go(page, site, "latency.html")
    page.locator("[data-find]").fill("drawer cpuN")
    assert page.locator("#timings tbody tr:visible").count() == 2 * len(VARIANTS)


def test_hostile_names_are_words_on_every_page(page, site: Path) -> None:
    for path in sorted(site.rglob("*.html")):
        go(page, site, str(path.relative_to(site)))
        assert page.locator("img").count() == 0
        assert page.locator("script:not([src])").count() == 0
        if path.name != "published.html":
            assert EVIL in page.locator("body").inner_text()


def picture(page) -> str:
    return page.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")


def test_replays_turn_slide_and_play(page, site: Path) -> None:
    go(page, site, TASK_PAGE)
    figure = page.locator(".replay").first
    slider, button, canvas = figure.locator("input"), figure.locator("button"), figure.locator("canvas")
    seen = [picture(page)]
    canvas.focus()
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
        seen.append(picture(page))
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert figure.locator("output").inner_text() == "step 3"
    seen.append(picture(page))
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + 190, box["y"] + 120, steps=4)
    page.mouse.up()
    seen.append(picture(page))
    assert len(set(seen)) == len(seen)
    button.click()
    assert button.inner_text() == "Pause"
    sync_api.expect(figure.locator("output")).to_have_text("step 12", timeout=60_000)
    sync_api.expect(button).to_have_text("Play")
    figure.locator("select").select_option(index=1)
    assert figure.locator("output").inner_text() == "step 0"
    assert page.locator(".replay").count() == 2  # a success and a failure


def test_episodes_that_ended_alike_can_be_hidden(page, site: Path) -> None:
    go(page, site, TASK_PAGE)
    rows = page.locator(".episodes tbody tr:visible")
    assert rows.count() == 20
    page.evaluate("document.querySelector('.episodes tbody tr').dataset.alike = ''")
    different = page.locator(".episodes tbody tr:not([data-alike])").count()
    page.locator("#only-different").check()
    assert 0 < rows.count() == different < 20


def test_everything_is_there_without_scripts(browser, site: Path) -> None:
    for page in opened(browser, java_script_enabled=False):
        go(page, site)
        assert page.locator("#filters").is_hidden()
        assert page.locator("#leaderboard tbody:visible").count() == 7
        assert page.locator("#tradeoff .point:visible").count() == 4 * 2 * len(VARIANTS)
        go(page, site, TASK_PAGE)
        assert page.locator(".episodes tbody tr:visible").count() == 20


def test_a_phone_does_not_scroll_sideways(browser, site: Path) -> None:
    for page in opened(browser, viewport={"width": 360, "height": 740}, has_touch=True):
        for name in PAGES:
            go(page, site, name)
            assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_dark_and_paper(browser, site: Path) -> None:
    def background(page) -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    for page in opened(browser, color_scheme="dark"):
        go(page, site)
        dark = background(page)
        page.emulate_media(media="print", color_scheme="light")
        assert background(page) == "rgb(255, 255, 255)" != dark
        assert page.locator("#filters").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_accessibility(browser, site: Path, scheme: str, name: str) -> None:
    # The policy of the pages forbids foreign scripts, axe among them, which also reads style sheets in its own way.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    go(page, site, name)
    found = axe.Axe().run(page).response["violations"]
    context.close()
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"]][:3]) for v in serious] == []
