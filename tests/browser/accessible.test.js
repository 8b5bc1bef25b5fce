// Every page can be used by everyone: WCAG 2.2 AA in both themes, both languages, on a desk and on a telephone, for every role.

import { test } from "node:test";
import assert from "node:assert/strict";
import { axe, fits } from "./scene/axe.js";
import { LANGUAGES, THEMES, visit, WIDTHS } from "./scene/browser.js";
import { ROLES } from "./scene/clinic.js";
import { may, pages } from "./scene/pages.js";
import { proposed, stage } from "./scene/stage.js";
import { STRICT } from "./scene/strict.js";

const scene = stage({ policy: "store", first: STRICT, prepare: proposed });

const LOOKS = THEMES.flatMap((theme) => LANGUAGES.flatMap((language) => WIDTHS.map((width) => ({ theme, language, width }))));

/** Looks at pages one after the other, and tells of all that is wrong at once. */
async function look(name, look, all) {
  const page = await scene.visitors.page(name, look);
  const faults = [];
  for (const { name: title, path, status } of all) {
    const where = `${title} (${path}), ${name ?? "nobody"}, ${Object.values(look).join(", ")}`;
    try {
      await visit(page, scene.clinic.at(path), status);
      assert.equal(await page.locator("html").getAttribute("lang"), look.language);
      assert.equal(await page.locator("h1").count(), 1, "one h1");
      await axe(page, where, look.theme === "dark" && name === "admin");
      await fits(page, where);
      page.watch.clean(where);
    } catch (error) {
      page.watch.faults.length = 0;
      faults.push(error.message.startsWith("WCAG") ? error.message : `${where}: ${error.message}`);
    }
  }
  await page.context().close();
  assert.ok(faults.length === 0, faults.join("\n"));
}

test("what is wrong is seen", async () => {
  const page = await scene.visitors.page();
  await visit(page, scene.clinic.at("/console/sign-in"));
  await page.evaluate(() => {
    const wide = document.createElement("div");
    wide.textContent = "wide";
    wide.style.width = "3000px";
    document.querySelector("main").append(document.createElement("input"), wide);
  });
  await assert.rejects(axe(page), /Form elements must have labels/);
  await assert.rejects(fits(page), /wider than its window/);
  await page.evaluate(() => document.querySelector("h1").setAttribute("style", "color: #888; background: #999"));
  assert.throws(() => page.watch.clean(), /content security policy/i);
  await page.evaluate(() => (document.querySelector("h1").style.cssText = "color: #888; background: #999"));
  await assert.rejects(axe(page, "here", true), /sufficient color contrast/);
  await page.evaluate(() => fetch("https://elsewhere.invalid/").catch(() => {}));
  assert.throws(() => page.watch.clean(), /elsewhere.invalid/);
  await page.context().close();
});

for (const theme of THEMES) {
  for (const language of LANGUAGES) {
    test(`all pages, ${theme}, ${language}`, async () => {
      const all = pages(scene.clinic);
      const both = WIDTHS.map(async (width) => {
        await look("admin", { theme, language, width }, all.filter(({ least }) => least));
        await look(undefined, { theme, language, width }, all.filter(({ least }) => !least));
      });
      const wrong = (await Promise.allSettled(both)).filter(({ reason }) => reason);
      assert.ok(wrong.length === 0, wrong.map(({ reason }) => reason.message).join("\n"));
    });
  }
}

ROLES.slice(0, -1).forEach((role, place) => {
  test(`the pages of the ${role}`, () =>
    look(role, LOOKS[(place * 3) % LOOKS.length], pages(scene.clinic).filter(({ least }) => least && may(role, least))));
  test(`the pages that the ${role} may not see say so`, () => {
    const refused = pages(scene.clinic).filter(({ least }) => least && !may(role, least));
    return look(role, LOOKS[(place * 3 + 1) % LOOKS.length], refused.map((page) => ({ ...page, status: 403 })));
  });
});

test("all pages can be read at 400 %, and with more room between letters and lines", async () => {
  const page = await scene.visitors.page("admin", { width: 320, height: 256 });
  const faults = [];
  for (const { name, path, status } of pages(scene.clinic).filter(({ least }) => least)) {
    await visit(page, scene.clinic.at(path), status);
    await fits(page, name).catch((error) => faults.push(error.message));
    // WCAG 1.4.12
    await page.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }");
      document.adoptedStyleSheets = [sheet];
    });
    await fits(page, `${name}, with more room`).catch((error) => faults.push(error.message));
  }
  await page.context().close();
  assert.ok(faults.length === 0, faults.join("\n"));
});

test("what a visitor chooses is kept, and a wrong form is as good as a right one", async () => {
  const page = await scene.visitors.page("viewer");
  await visit(page, scene.clinic.at("/console/"));
  await page.locator("button[name=theme][value=dark]").click();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  await page.locator("button[name=language][value=es]").click();
  assert.equal(await page.locator("html").getAttribute("lang"), "es");
  await visit(page, scene.clinic.at("/console/about"));
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  await axe(page);
  await page.context().close();
  const guest = await scene.visitors.page();
  await visit(guest, scene.clinic.at("/console/sign-in"));
  await guest.fill("#name", "nobody");
  await guest.fill("#password", "wrong wrong wrong");
  await guest.locator("form[action='/console/sign-in'] button").click();
  await guest.locator("[role=alert]").waitFor();
  await axe(guest, "a wrong password");
  guest.watch.clean();
  await guest.context().close();
});
