"""A walk over a page by Tab alone, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page

MOST = 600
"""How often Tab is pressed before it is said that it leads nowhere."""

# What can be operated: by its kind, or because the pointer says so. Of buttons of one choice only one is in the order
# of Tab, and of the map's GPUs: arrow keys lead to the others.
OPERABLE = """() => {
  const kinds = "a[href], button, input:not([type=hidden]), select, textarea, summary, [contenteditable]";
  const shown = element => element.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true});
  const all = [...document.querySelectorAll(kinds)].filter(one => shown(one) && !one.disabled);
  window.operable = all.filter(one => one.type !== "radio" && !one.closest("#map") && one.ariaHidden !== "true");
  const named = one => `${one.tagName} ${one.id || one.name || one.textContent.trim()}`.slice(0, 60);
  const faults = [...document.querySelectorAll("[tabindex]")].filter(one => one.tabIndex > 0)
    .map(one => `${named(one)} has a place of its own in the order`);
  for (const one of document.querySelectorAll("main *, nav *")) {
    const pressed = shown(one) && getComputedStyle(one).cursor === "pointer";
    const known = one.closest(`${kinds}, label, [role=button]`);
    if (pressed && !known) faults.push(`${named(one)} is for the pointer alone`);
  }
  window.reached = [];
  document.body.tabIndex = -1;  // Tab goes on from where the focus was last: that is where the page begins
  document.body.focus();
  document.body.removeAttribute("tabindex");
  return faults;
}"""

# One step: whether the walk is round, and what is wrong with what has the focus.
STEP = """() => {
  const one = document.activeElement;
  const last = window.reached.at(-1);
  if (one === last) return [];  // a date has several places
  if (one === document.body || window.reached.includes(one)) return null;
  window.reached.push(one);
  const named = `${one.tagName} ${one.id || one.name || one.textContent.trim()}`.slice(0, 60);
  const faults = [];
  const ringed = [one, one.nextElementSibling].some(element => {
    const style = element && getComputedStyle(element);
    if (!style || style.outlineStyle === "none") return false;
    return style.outlineStyle === "auto" || parseFloat(style.outlineWidth) >= 2;
  });
  if (!ringed) faults.push(`the focus on ${named} cannot be seen`);
  const at = one.getBoundingClientRect();
  if (at.bottom <= 0 || at.top >= innerHeight) faults.push(`${named} is out of sight`);
  const follows = !last || last.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING;
  if (!follows) faults.push(`${named} comes late`);
  if (last && last.parentElement === one.parentElement) {
    const before = last.getBoundingClientRect();
    if (at.bottom <= before.top && at.width && before.width) faults.push(`${named} stands above what comes before it`);
  }
  return faults;
}"""

MISSED = """() => window.operable.filter(one => one.isConnected && !window.reached.includes(one))
  .map(one => `${one.tagName} ${one.id || one.name || one.textContent.trim()}`.slice(0, 60) + " is never reached")"""


async def walk(page: Page) -> list[str]:
    """Press Tab until the page is over; return what is wrong: what is not reached, not seen, or out of order."""
    found: list[str] = await page.evaluate(OPERABLE)
    for _ in range(MOST):
        await page.keyboard.press("Tab")
        step: list[str] | None = await page.evaluate(STEP)
        if step is None:
            return [*found, *await page.evaluate(MISSED)]
        found += step
    return [*found, f"Tab was pressed {MOST} times, and the page was not over"]


async def focused(page: Page) -> Any:
    """Return the id of what has the focus."""
    return await page.evaluate("document.activeElement.id")
