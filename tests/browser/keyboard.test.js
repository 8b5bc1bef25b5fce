// The console by the keyboard alone.

import { test } from "node:test";
import assert from "node:assert/strict";
import { visit } from "./scene/browser.js";
import { PASSWORD } from "./scene/clinic.js";
import { mark, shown } from "./scene/reviewing.js";
import { pages } from "./scene/pages.js";
import { proposed, stage } from "./scene/stage.js";
import { STRICT } from "./scene/strict.js";

const scene = stage({ policy: "store", first: STRICT, prepare: proposed });

/** What has the focus: how it is named, whether one sees it, and that it has it. */
const focused = (page) =>
  page.evaluate(() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
    const box = one.getBoundingClientRect();
    return {
      what: `${one.tagName.toLowerCase()} ${one.getAttribute("href") ?? one.getAttribute("name") ?? one.id} "${one.textContent.trim().slice(0, 30)}"`,
      seen: (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none",
      inside: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
      href: one.getAttribute("href"),
    };
  });

/** Presses Tab until what has the focus is `wanted`. */
async function tabTo(page, wanted, most = 60) {
  for (let press = 0; press < most; press++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((selector) => document.activeElement?.matches(selector), wanted)) return;
  }
  assert.fail(`Tab does not reach ${wanted} on ${page.url()}`);
}

test("the first Tab leads past the navigation", async () => {
  const page = await scene.visitors.page("admin");
  for (const path of ["/console/", "/console/decisions", "/console/about"]) {
    await visit(page, scene.clinic.at(path));
    await page.keyboard.press("Tab");
    assert.equal((await focused(page)).href, "#main");
    assert.ok((await focused(page)).inside, "the skip link is shown when it has the focus");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main", path);
  }
  await page.context().close();
});

for (const width of [1280, 360]) {
  test(`Tab goes through every page of ${width} px, and one sees where it is`, async () => {
    const page = await scene.visitors.page("admin", { width });
    const faults = [];
    for (const { name, path, status } of pages(scene.clinic).filter(({ least }) => least)) {
      await visit(page, scene.clinic.at(path), status);
      let before = "";
      for (let press = 0; press < 45; press++) {
        await page.keyboard.press("Tab");
        const now = await focused(page);
        if (!now) break;
        if (!now.seen) faults.push(`${name}: one does not see the focus on ${now.what}`);
        if (!now.inside) faults.push(`${name}: the focus is on ${now.what}, which is out of sight`);
        before = now.what;
      }
      assert.ok(before, `${name} has nothing that takes the focus`);
      page.watch.clean();
    }
    await page.context().close();
    assert.deepEqual([...new Set(faults)], [], [...new Set(faults)].join("\n"));
  });
}

test("one signs in, goes to a page, and out", async () => {
  const page = await scene.visitors.page();
  await visit(page, scene.clinic.at("/console/sign-in"));
  await tabTo(page, "#name");
  await page.keyboard.type("viewer");
  await page.keyboard.press("Tab");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console/");
  await tabTo(page, "nav a[href='/console/decisions']");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console/decisions");
  await tabTo(page, "form[action='/console/sign-out'] button");
  await page.keyboard.press("Space");
  await page.waitForURL("**/console/sign-in*");
  page.watch.clean();
  await page.context().close();
});

test("the menu of a small screen opens by the keyboard", async () => {
  const page = await scene.visitors.page("viewer", { width: 360 });
  await visit(page, scene.clinic.at("/console/"));
  await tabTo(page, "#menu");
  await page.keyboard.press("Space");
  await page.locator("nav a[href='/console/decisions']").waitFor({ state: "visible" });
  await tabTo(page, "nav a[href='/console/decisions']");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console/decisions");
  await page.context().close();
});

/** Nothing was sent, and the same is shown. */
async function stays(page, keys) {
  const before = [page.url(), await shown(page)];
  for (const key of keys) await page.keyboard.press(key);
  // What a key had begun would be there after a look at the page.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  assert.deepEqual([page.url(), await shown(page)], before);
}

test("one reviews by keys alone", async () => {
  const page = await scene.visitors.page("reviewer");
  await visit(page, scene.clinic.at("/console/review"));
  const seen = [];
  for (const [word, said] of [["correct", /correct/i], ["over-blocked", /stopped wrongly/i], ["missed", /missed/i]]) {
    seen.push((await shown(page)).event);
    assert.match(await mark(page, word, { key: true }), said);
  }
  const skipped = await shown(page);
  await page.keyboard.press("S");
  await page.waitForURL("**/console/review?at=1");
  assert.notDeepEqual(await shown(page), skipped);
  // Nothing is read without a reason: T leads to it.
  await page.keyboard.press("t");
  assert.equal(await page.evaluate(() => document.activeElement.id), "reason");
  await page.keyboard.type("second look, case 2: 1 3 s t");
  assert.equal(await page.inputValue("#reason"), "second look, case 2: 1 3 s t");
  await page.keyboard.press("Enter");
  await page.locator("#text blockquote").first().waitFor();
  await mark(page, "correct", { key: true });
  // The reason stands for the queue.
  await page.keyboard.press("T");
  await page.locator("#text blockquote").first().waitFor();
  page.watch.clean();
  await page.context().close();
});

test("the keys of the review do nothing while one types, with another key, or where they are switched off", async () => {
  const page = await scene.visitors.page("reviewer");
  await visit(page, scene.clinic.at("/console/review"));
  const { direction } = await shown(page);
  await page.focus(`#note-${direction}`);
  await stays(page, ["1", "2", "3", "s", "t"]);
  assert.equal(await page.inputValue(`#note-${direction}`), "123st");
  await page.focus(`#principle-${direction}`);
  await stays(page, ["1", "s", "t"]);
  await page.focus("#main");
  await stays(page, ["Alt+1", "Control+2"]);
  await page.getByLabel(/Keyboard shortcuts/).focus();
  await page.keyboard.press("Space");
  await stays(page, ["1", "2", "3", "S", "T"]);
  await page.reload();
  assert.equal(await page.getByLabel(/Keyboard shortcuts/).isChecked(), false, "it is remembered");
  await stays(page, ["1", "2", "3", "S", "T"]);
  await page.getByLabel(/Keyboard shortcuts/).focus();
  await page.keyboard.press("Space");
  await mark(page, "correct", { key: true });
  page.watch.clean();
  await page.context().close();
});
