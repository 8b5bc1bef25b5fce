// What comes from outside is shown as text, whatever it says, and never becomes a part of a page.

import { test } from "node:test";
import assert from "node:assert/strict";
import { visit } from "./scene/browser.js";
import { pages } from "./scene/pages.js";
import { approve, propose, tryOut } from "./scene/drafting.js";
import { drafted, stage } from "./scene/stage.js";
import { STRICT } from "./scene/strict.js";

/** Each leaves an element or an attribute with this mark, or an alert, where it is not shown as text. */
const MARK = "data-hit";
const HOSTILE = [
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
  policy: "store",
  first: STRICT,
  prepare: async ({ clinic, visitors }) => {
    await drafted({ clinic, visitors });
    const asked = HOSTILE.map((text) => ({ text: `What does this mean in a chart: ${text}`, tenant: "west", user: text, audience: "clinician" }));
    const headers = { "x-nonnocere-conversation": ALL, "user-agent": ALL, "accept-language": ALL };
    await clinic.askAll([...asked, ...asked.map((one) => ({ ...one, headers }))]);
    clinic.shown = clinic.sent[0];
  },
  said: Object.fromEntries(HOSTILE.map((text) => [`What does this mean in a chart: ${text}`, `It says ${text}, as text.`])),
});

/** Fails where a text has become a part of the page. */
async function harmless(page, where = page.url()) {
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

test("drafts: their names, texts, faults, tests, and the reasons of those who bring them", async () => {
  const page = await scene.visitors.page("editor");
  const toml = JSON.stringify(ALL);
  for (const name of HOSTILE) {
    await visit(page, scene.clinic.at("/console/policy"));
    await page.locator("#draft-name").evaluate((field) => ["maxlength", "pattern"].forEach((one) => field.removeAttribute(one)));
    await page.fill("#draft-name", name);
    await page.locator("form[action='/console/policy/drafts'] button").click();
    await page.locator("[role=alert]").waitFor();
    await harmless(page, "the name of a draft");
  }
  const draft = `/console/policy/drafts/${scene.clinic.draft}`;
  const save = async (text, where) => {
    await visit(page, scene.clinic.at(draft));
    await page.fill("#text", text);
    await page.locator("button[name=wish][value=text]").click();
    await page.locator("[role=status], [role=alert]").first().waitFor();
    await harmless(page, where);
    assert.equal((await page.inputValue("#text")).trim(), text.trim(), "the text is shown as it was typed");
  };
  const faulty = STRICT.replace('name = "violating-prompt"', `name = ${toml}`).replace('score = "crisis"', `score = ${toml}`);
  await save(`${faulty}\n[[rules]]\n${toml} = 1\n`, "faults");
  await save(ALL, "no TOML");
  const words = STRICT.replace(/description = .*/, `description = ${toml}`).replace(/en = .*|message = .*/g, (line) => `${line.split(" ")[0]} = ${toml}`);
  const tests = `\n[[tests]]\nname = ${toml}\nprompt = ${toml}\nexpect = "escalate"\n`;
  await save(words + tests, "words");
  await tryOut(page);
  await harmless(page, "tests that do not hold");
  await save(words, "words");
  await tryOut(page);
  await propose(page, scene.clinic, scene.clinic.draft, ALL);
  await harmless(page, "a reason");
  const approver = await scene.visitors.page("approver");
  await visit(approver, scene.clinic.at("/console/policy/proposal"));
  await harmless(approver, "what it changes");
  await approve(approver, scene.clinic, "v2", ALL);
  for (const path of ["/console/policy", "/console/audit", "/console/"]) {
    await visit(approver, scene.clinic.at(path));
    await harmless(approver);
  }
  assert.ok((await approver.goto(scene.clinic.at("/console/policy")) && (await approver.locator("main").innerText())).includes("<script data-hit>"));
  await page.context().close();
  await approver.context().close();
});
