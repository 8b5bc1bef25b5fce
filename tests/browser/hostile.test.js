// What comes from outside is shown as text, whatever it says, and never becomes a part of a page.

import { test } from "node:test";
import assert from "node:assert/strict";
import { visit } from "./scene/browser.js";
import { mark, reveal, shown } from "./scene/reviewing.js";
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

/** Fails where a page does not show a text as it was said, or more than shows it. */
async function told(page, text, where) {
  const words = (text) => text.replace(/\s+/g, " ").trim();
  assert.ok(words(await page.locator("main").innerText()).includes(words(text)), `${where} shows ${text}`);
  await harmless(page, where);
}

test("what was asked and answered, as it is read on purpose, and the reasons for it", async () => {
  const page = await scene.visitors.page("reviewer");
  for (const { event, prompt } of scene.clinic.sent.slice(0, HOSTILE.length)) {
    await visit(page, scene.clinic.at(`/console/decisions/${event}`));
    await harmless(page, "a decision");
    await page.locator("#reason").evaluate((field) => field.removeAttribute("maxlength"));
    const texts = await reveal(page, ALL);
    assert.ok(texts.replace(/\s+/g, " ").includes(prompt), texts);
    await harmless(page, "a text");
    assert.ok(!page.url().includes("hit") && !(await page.title()).includes("chart"), "no words in an address or a title");
  }
  await visit(page, scene.clinic.at("/console/review"));
  await reveal(page, ALL);
  await harmless(page, "a text of the queue");
  await visit(page, scene.clinic.at("/console/review"));
  assert.equal(await page.inputValue("#reason"), ALL, "the reason stands");
  await harmless(page, "a reason that stands");
  await visit(page, scene.clinic.at("/console/audit"));
  await told(page, ALL, "the audit");
  await page.context().close();
});

test("the notes of reviewers", async () => {
  const page = await scene.visitors.page("reviewer");
  for (const note of [...HOSTILE, ALL]) {
    await visit(page, scene.clinic.at("/console/review"));
    const { event } = await shown(page);
    await mark(page, "correct", { note });
    await harmless(page, "what was kept");
    await visit(page, scene.clinic.at(`/console/decisions/${event}`));
    await told(page, note, "a note");
  }
  await page.context().close();
});

test("what is tried", async () => {
  const page = await scene.visitors.page("editor");
  for (const kind of ["prompt", "answer", "conversation"]) {
    for (const text of kind === "prompt" ? HOSTILE : [ALL]) {
      await visit(page, scene.clinic.at("/console/try"));
      await page.check(`input[name=kind][value=${kind}]`);
      const asked = kind === "conversation" ? `user: ${text}\nassistant: ${text}\nuser: ${text}` : text;
      await page.fill("#text", asked);
      if (kind === "answer") await page.fill("#completion", text);
      await page.locator("form[action^='/console/try'] button").click();
      await page.locator("#found").waitFor();
      await told(page, text, `a tried ${kind}`);
      assert.equal(await page.inputValue("#text"), asked, "it is shown as it was typed");
    }
  }
  await visit(page, scene.clinic.at("/console/try"));
  await page.locator("#tenant").evaluate((field) => field.removeAttribute("maxlength"));
  await page.fill("#text", ALL);
  await page.fill("#tenant", ALL);
  await page.locator("form[action^='/console/try'] button").click();
  await page.locator("#tenant-wrong, #found").first().waitFor();
  await harmless(page, "a tenant that is none");
  // A draft with faults names them in its place.
  await visit(page, scene.clinic.at("/console/policy"));
  await page.fill("#draft-name", "faulty");
  await page.locator("form[action='/console/policy/drafts'] button").click();
  await page.waitForURL("**/faulty");
  await page.waitForLoadState("networkidle");
  await page.fill("#text", STRICT.replace('score = "crisis"', `score = ${JSON.stringify(ALL)}`));
  await page.locator("button[name=wish][value=text]").click();
  await page.locator("[role=status], [role=alert]").first().waitFor();
  await visit(page, scene.clinic.at("/console/try?draft=faulty"));
  await page.fill("#text", ALL);
  await page.locator("form[action^='/console/try'] button").click();
  await page.locator("#found").waitFor();
  assert.equal(await page.inputValue("#draft"), "faulty");
  assert.ok((await page.locator(".verdict").nth(1).innerText()).includes("The draft has faults"));
  await harmless(page, "the faults of a draft that is tried");
  await page.context().close();
});

test("what is typed where one changes a password", async () => {
  const page = await scene.visitors.page("viewer");
  for (const text of HOSTILE) {
    await visit(page, scene.clinic.at("/console/password"));
    for (const name of ["old", "new", "again"]) await page.fill(`#${name}`, text.padEnd(12, "."));
    await page.locator("form[action='/console/password'] button").click();
    await page.locator("[role=alert]").waitFor();
    await harmless(page, "a password");
    assert.ok(!(await page.content()).includes(MARK), "no password is in a page");
  }
  await page.context().close();
});

test("who asked: tenants and users", async () => {
  const asked = HOSTILE.map((text) => ({ text: "Which checks come before starting warfarin?", tenant: text, user: text, audience: "staff" }));
  const answers = await scene.clinic.askAll(asked);
  const page = await scene.visitors.page("reviewer");
  for (const { event, status } of answers) {
    assert.ok(status < 500, `${status}`);
    if (event) await page.goto(scene.clinic.at(`/console/decisions/${event}`));
    await harmless(page, "who asked");
  }
  for (const path of ["/console/decisions", "/console/", "/console/review"]) {
    await visit(page, scene.clinic.at(path));
    await harmless(page, path);
  }
  await page.context().close();
});

test("the names of rules, of those that a policy may have", async () => {
  const page = await scene.visitors.page("editor");
  for (const [place, name] of [ALL, HOSTILE[2]].entries()) {
    await visit(page, scene.clinic.at("/console/policy"));
    await page.fill("#draft-name", `named-${place}`);
    await page.locator("form[action='/console/policy/drafts'] button").click();
    await page.waitForURL(`**/named-${place}`);
    // Its curve is of the rule that is renamed here.
    await page.waitForLoadState("networkidle");
    const text = STRICT.replace('name = "violating-prompt"', `name = ${JSON.stringify(name)}`);
    await page.fill("#text", text);
    await page.locator("button[name=wish][value=text]").click();
    await page.locator("[role=status], [role=alert]").first().waitFor();
    await harmless(page, "a rule");
    assert.equal((await page.inputValue("#text")).trim(), text.trim());
    for (const more of ["", "/trial", `/curve?rule=${encodeURIComponent(name)}&moved=alone`]) {
      const answer = await page.goto(scene.clinic.at(`/console/policy/drafts/named-${place}${more}`));
      assert.ok(answer.status() < 500, `${more}: ${answer.status()}`);
      await harmless(page, `a rule in ${more}`);
    }
  }
  await page.context().close();
});
