"""The pages in a real browser: Debian's chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from domain.delegation import SUBJECT
from domain.governance_events import (
    ApprovalDelegated,
    ApprovalGranted,
    ApprovalRejected,
    DelegationEnded,
)
from services.approval_dashboard.service import create
from tests.dashboard import story
from tests.registry.world import World, running

CHROMIUM = "/usr/bin/chromium"
PAGES = (
    "/",
    "/intents",
    "/services",
    "/uptime",
    "/history",
    "/policies",
    "/delegations",
    "/sign-in",
)
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        shutil.which(CHROMIUM) is None and os.environ.get("CI") != "true",
        reason="no chromium: apt-get install chromium (with CI=true this would fail instead)",
    ),
]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path) as running_world:
        yield running_world


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox"]
        )
        yield started
        await started.close()


@asynccontextmanager
async def opened(
    browser: Browser, world: World, *, person: str = "bob", size: dict[str, int] = DESKTOP
) -> AsyncIterator[Page]:
    """A page whose scripts and policy report no problem, signed in unless ``person`` is ""."""
    problems: list[str] = []
    context = await browser.new_context(viewport=size)  # type: ignore[arg-type]
    page = await context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    await page.goto(f"{world.url}/sign-in?token={person}" if person else world.url)
    await live(page)
    yield page
    await context.close()
    assert problems == []


async def live(page: Page) -> None:
    await expect(page.locator("#live-status")).to_have_attribute("data-state", "on")


async def test_one_click_approves_what_is_shown(browser: Browser, world: World) -> None:
    asked = await story.ask(world)
    async with opened(browser, world) as page:
        await page.get_by_role("button", name="Approve governance-engine").click()
        await expect(page.get_by_text("Approved: governance-engine goes on.")).to_be_visible()
        await expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    events = await world.recorded(f"events.governance.{asked.intent_id}", count=5)
    granted = events[-2]
    assert isinstance(granted, ApprovalGranted)
    assert (granted.approver, granted.digest) == ("bob", asked.digest)


async def test_rejecting_asks_for_a_reason_first(browser: Browser, world: World) -> None:
    asked = await story.ask(world)
    async with opened(browser, world) as page:
        await page.get_by_text("Reject…").click()
        send = page.get_by_role("button", name="Reject with this reason")
        await send.click()
        reason = page.get_by_label("Why?")
        await expect(reason).to_be_focused()  # the browser itself refuses an empty one
        await reason.fill("not this quarter")
        await send.click()
        await expect(page.get_by_text("will not be built")).to_be_visible()
    events = await world.recorded(f"events.governance.{asked.intent_id}", count=4)
    assert isinstance(events[-1], ApprovalRejected)
    assert events[-1].reason == "not this quarter"


async def test_a_new_question_appears_by_itself_and_keeps_what_a_person_was_typing(
    browser: Browser, world: World
) -> None:
    await story.ask(world, "first-engine")
    async with opened(browser, world) as page:
        await page.get_by_text("Reject…").click()
        reason = page.get_by_label("Why?")
        await reason.fill("half a thou")

        await story.ask(world, "second-engine")

        await expect(page.get_by_role("heading", name="2 approvals wait")).to_be_visible()
        await expect(page.get_by_role("heading", name="second-engine")).to_be_visible()
        await expect(page).to_have_title("(2) Approvals · Phoenix")
        await expect(page.locator("#announce")).to_have_text("2 waiting for approval")
        await expect(reason.first).to_have_value("half a thou")
        await expect(reason.first).to_be_focused()
        await page.keyboard.type("ght")
        await expect(reason.first).to_have_value("half a thought")


async def test_a_question_answered_elsewhere_leaves_the_page(
    browser: Browser, world: World
) -> None:
    asked = await story.ask(world)
    async with opened(browser, world) as page:
        await expect(page.get_by_role("heading", name="governance-engine")).to_be_visible()
        await world.call("POST", f"/api/approvals/{asked.approval_id}/approve", {}, token="ann")
        await expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()


async def test_the_keyboard_alone_is_enough_to_approve(browser: Browser, world: World) -> None:
    await story.ask(world)
    async with opened(browser, world) as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_text("Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        button = page.get_by_role("button", name="Approve governance-engine")
        for _ in range(15):
            await page.keyboard.press("Tab")
            if await button.evaluate("element => element === document.activeElement"):
                break
        await expect(button).to_be_focused()
        width = await button.evaluate("element => getComputedStyle(element).outlineWidth")
        assert width == "3px"  # whoever cannot point must see where they are
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("goes on.")).to_be_visible()


async def test_the_mode_is_switched_on_the_first_page(browser: Browser, world: World) -> None:
    await story.rules(world)
    async with opened(browser, world) as page:
        await page.get_by_role("radio", name="Supervised").check()
        await page.get_by_label("Reason").fill("release week")
        await page.get_by_role("button", name="Change the mode").click()
        await expect(page.get_by_text("The mode is now supervised.")).to_be_visible()
        await expect(page.get_by_text("Set by bob: release week")).to_be_visible()


async def test_an_approver_lets_somebody_else_answer_and_ends_it_with_the_keyboard(
    browser: Browser, world: World
) -> None:
    async with opened(browser, world) as page:
        await page.get_by_role("link", name="Delegations").click()
        await page.get_by_label("Who").fill("eve")
        send = page.get_by_role("button", name="Delegate", exact=True)
        await send.click()
        why = page.get_by_label("Why")
        await expect(why).to_be_focused()  # the browser itself refuses an empty one
        await why.fill("on holiday")
        await send.click()
        await expect(page.get_by_text("somebody may answer in your place")).to_be_visible()
        await expect(page.get_by_role("rowheader", name="eve")).to_be_visible()
        end = page.get_by_role("button", name="End it now eve for bob")
        await end.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Recorded: the delegation has ended.")).to_be_visible()
        await expect(page.get_by_text("Nobody answers in anybody's place.")).to_be_visible()
    given, ended = await world.recorded(SUBJECT, count=2)
    assert isinstance(given, ApprovalDelegated)
    assert isinstance(ended, DelegationEnded)
    assert timedelta(days=6) < given.until - given.at <= timedelta(days=7)


async def test_whoever_is_not_signed_in_sees_everything_and_can_decide_nothing(
    browser: Browser, world: World
) -> None:
    await story.ask(world)
    async with opened(browser, world, person="") as page:
        await expect(page.get_by_role("heading", name="governance-engine")).to_be_visible()
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        await page.get_by_role("link", name="Sign in to decide").click()
        await page.get_by_label("Token").fill("bob")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("button", name="Approve")).to_have_count(1)


async def test_the_pages_work_without_scripts(browser: Browser, world: World) -> None:
    await story.ask(world)
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{world.url}/sign-in?token=bob")
    await page.get_by_role("button", name="Approve governance-engine").click()
    await expect(page.get_by_text("goes on.")).to_be_visible()
    await context.close()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_every_page_fits_its_screen_and_names_its_controls(
    browser: Browser, world: World, size: dict[str, int]
) -> None:
    await story.rules(world)
    await story.services(world)
    asked = await story.ask(world)
    await story.auto(world)
    await story.held(world)
    await story.delegated(world)
    unclear = await story.asks(world)
    async with opened(browser, world, size=size) as page:
        for path in (*PAGES, *(f"/intents/{one.intent_id}" for one in (asked, unclear))):
            await page.goto(world.url + path)
            await live(page)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"], f"{path} is {width} px wide"
            assert await page.evaluate(UNNAMED) == [], path
            assert await page.locator("h1").count() == 1, path


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_stranger_and_a_wrong_address_get_a_page_that_fits(
    browser: Browser, world: World, size: dict[str, int]
) -> None:
    context = await browser.new_context(viewport=size)  # type: ignore[arg-type]
    page = await context.new_page()
    for path, title in (("/sign-in", "Sign in"), ("/nowhere", "Not found")):
        await page.goto(world.url + path)
        await expect(page.get_by_role("heading", name=title)).to_be_visible()
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{path} is {width} px wide"
    await context.close()


# Fields without a label, buttons and links without a text, ids used twice.
UNNAMED = """() => {
  const found = [];
  for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
    if (!field.labels.length && field.ariaHidden !== 'true') found.push(field.outerHTML);
  for (const one of document.querySelectorAll('button, a'))
    if (!one.textContent.trim() && !one.ariaLabel) found.push(one.outerHTML);
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  return found.concat(ids.filter((id, at) => ids.indexOf(id) !== at));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(browser: Browser, world: World, scheme: str) -> None:
    await story.rules(world)
    await story.ask(world, warning="a second approver was wanted")
    await story.auto(world)
    await story.services(world)
    await story.asks(world)
    async with opened(browser, world) as page:
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for path in ("/", "/intents", "/uptime", "/history", "/policies", "/delegations"):
            await page.goto(world.url + path)
            assert await page.evaluate(LOW_CONTRAST) == [], path


# Every piece of text with less than 4.5 to 1 against the first opaque ground behind it.
LOW_CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const c = rgb(getComputedStyle(one).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !one.checkVisibility()) continue;
    const a = light(rgb(getComputedStyle(one).color)), b = light(ground(one));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.add(`${one.tagName}.${one.className}: ${ratio.toFixed(2)}`);
  }
  return [...found];
}"""
