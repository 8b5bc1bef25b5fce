// What comes from outside is shown as text, whatever it says, and never becomes a part of a page.

import { test } from "node:test";
import assert from "node:assert/strict";
import { visit } from "./scene/browser.js";
import { pages } from "./scene/pages.js";
import { stage } from "./scene/stage.js";

/** Each leaves an element or an attribute with this mark, or an alert, where it is not shown as text. */
const MARK = "data-hit";
export const HOSTILE = [
  `<script ${MARK}>alert(1)</script>`,
  `<img ${MARK} src=x onerror=alert(2)>`,
  `" ${MARK}="1" onfocus="alert(3)" autofocus x="`,
  `' ${MARK}='1' onmouseover='alert(4)' x='`,
  `</textarea></title></option></svg><b ${MARK}>&lt;i ${MARK}&gt;`,
];
const ALL = HOSTILE.join(" ");

/** Names of fields of queries, more than there are. */
const FIELDS = [
  ..."event user tenant audience action direction principle rule policy version model surface since until from to after before page".split(" "),
  ..."q text name note reason draft base left right sort order score stratum sample kind mark reviewer then out back said language theme".split(" "),
];

const scene = stage({
  times: 0,
  prepare: async ({ clinic }) => {
    const asked = HOSTILE.map((text) => ({ text: `What does this mean in a chart: ${text}`, tenant: "west", user: text, audience: "clinician" }));
    const headers = { "x-nonnocere-conversation": ALL, "user-agent": ALL, "accept-language": ALL };
    await clinic.askAll([...asked, ...asked.map((one) => ({ ...one, headers }))]);
    clinic.shown = clinic.sent[0];
  },
  said: Object.fromEntries(HOSTILE.map((text) => [`What does this mean in a chart: ${text}`, `It says ${text}, as text.`])),
});

/** Fails where a text has become a part of the page. */
export async function harmless(page, where = page.url()) {
  const hits = await page.evaluate((mark) => [...document.querySelectorAll(`[${mark}]`)].map((one) => one.outerHTML.slice(0, 200)), MARK);
  assert.deepEqual(hits, [], where);
  page.watch.clean(where);
}

test("the texts do harm where nobody keeps them from it", async () => {
  const page = await scene.visitors.page();
  let alerts = 0;
  page.on("dialog", () => alerts++);
  await page.setContent(`<p>${ALL}</p><input value="${HOSTILE[2]}"><input value='${HOSTILE[3]}'>`);
  assert.ok((await page.locator(`[${MARK}]`).count()) >= 4);
  await page.context().close();
});

test("what stands in an address", async () => {
  const page = await scene.visitors.page("admin");
  const query = new URLSearchParams(FIELDS.map((name) => [name, ALL]));
  for (const { path } of pages(scene.clinic)) {
    const answer = await page.goto(scene.clinic.at(`${path.split("?")[0]}?${query}`));
    assert.ok(answer.status() < 500, `${path}: ${answer.status()}`);
    await harmless(page, path);
  }
  for (const path of ["/console/decisions/", "/console/policy/", "/console/people/", "/console/", "/console/review/"]) {
    const answer = await page.goto(scene.clinic.at(path + encodeURIComponent(ALL)));
    assert.ok(answer.status() < 500, `${path}: ${answer.status()}`);
    await harmless(page, path);
  }
  await page.context().close();
});

test("what is typed where one signs in", async () => {
  const page = await scene.visitors.page();
  for (const text of HOSTILE) {
    await visit(page, scene.clinic.at(`/console/sign-in?then=${encodeURIComponent(`javascript:alert(1)//${text}`)}`));
    await page.locator("#name").evaluate((field) => field.removeAttribute("maxlength"));
    await page.fill("#name", text);
    await page.fill("#password", text);
    await page.locator("form[action='/console/sign-in'] button").click();
    await page.locator("[role=alert]").waitFor();
    assert.equal(await page.inputValue("#name"), text, "it is shown as it was typed");
    await harmless(page);
  }
  await page.context().close();
});

test("the names of accounts", async () => {
  const page = await scene.visitors.page("admin");
  for (const text of HOSTILE) {
    await visit(page, scene.clinic.at("/console/people"));
    const form = page.locator("form[action='/console/people']");
    await form.locator("input[name=name]").evaluate((field) => field.removeAttribute("maxlength"));
    await form.locator("input[name=name]").fill(text);
    await form.locator("input[name=password]").fill("every window has a lamp");
    await form.locator("button").click();
    await page.locator("[role=alert]").waitFor();
    await harmless(page);
  }
  await page.context().close();
});
