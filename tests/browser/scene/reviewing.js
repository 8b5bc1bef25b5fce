// How the queue of those who review is worked off. With and without scripts.

import assert from "node:assert/strict";

/** The keys of the marks. */
const KEYS = { correct: "1", "over-blocked": "2", missed: "3" };

/** What the page is on that shows one of the queue: its event and direction. */
export async function shown(page) {
  const action = await page.locator("form:has(button[name=mark])").getAttribute("action");
  const [event, direction] = action.split("/").slice(-2);
  return { event, direction };
}

/** Says of the one that is shown whether it was right, by a click or a key; the next is shown then, and what was kept. */
export async function mark(page, mark, { key = false, note = "" } = {}) {
  const { event, direction } = await shown(page);
  if (note) await page.fill(`#note-${direction}`, note);
  const answered = page.waitForResponse((answer) => new URL(answer.url()).pathname === `/console/review/${event}/${direction}`);
  if (key) await page.keyboard.press(KEYS[mark]);
  else await page.locator(`button[name=mark][value=${mark}]`).click();
  assert.equal((await answered).status(), 303);
  await page.waitForURL("**/console/review?at=*", { waitUntil: "load" });
  return page.locator("[role=status]").first().innerText();
}

/** Asks for the text of what is shown, for a reason, and gives what is shown of it. */
export async function reveal(page, reason) {
  if (reason) await page.fill("#reason", reason);
  await page.locator("form[action$='/text#text'] button").click();
  await page.locator("#text blockquote").first().waitFor();
  return (await page.locator("#text blockquote").allInnerTexts()).join("\n");
}
