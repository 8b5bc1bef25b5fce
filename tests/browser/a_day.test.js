// A day of a hospital whose policy stops too much: it is seen, reviewed, mended, approved by someone else, and proven.

import { test } from "node:test";
import assert from "node:assert/strict";
import { STRICT } from "./scene/strict.js";
import { stage } from "./scene/stage.js";
import { morning } from "./scene/traffic.js";
import { HARD } from "./scene/prompts.js";
import { approve, begin, moveThreshold, propose, tryOut } from "./scene/drafting.js";
import { visit } from "./scene/browser.js";

const scene = stage({ policy: "store", first: STRICT, times: 0 });

const HARMLESS = new Set(HARD.map(([, text]) => text));

/** The part of the answers that are refusals. */
const refused = (answers) => answers.filter(({ text }) => /can't help with this here|No puedo ayudar/.test(text)).length / answers.length;

const policy = async () => (await fetch(`${scene.clinic.operators}/policy`)).text();

const day = {};

test("in the morning too much is refused", async () => {
  day.morning = await scene.clinic.askAll(morning());
  day.before = refused(day.morning);
  assert.ok(day.before > 0.35, `${day.before}`);
  const page = await scene.visitors.page("viewer");
  await visit(page, scene.clinic.at("/console/"));
  page.watch.clean();
  await page.context().close();
});

test("thirty refusals are reviewed", async () => {
  const wrong = day.morning.filter(({ prompt, text }) => HARMLESS.has(prompt) && refused([{ text }])).slice(0, 30);
  assert.equal(wrong.length, 30);
  const label = ({ event }) => scene.clinic.command(["audit", "label", event, "--reviewer", "reviewer", "--mark", "over-blocked"]);
  for (let place = 0; place < wrong.length; place += 3) await Promise.all(wrong.slice(place, place + 3).map(label));
});

test("a draft with a higher threshold is tried and proposed by one, and approved by another", async () => {
  const page = await scene.visitors.page("editor");
  await begin(page, scene.clinic, "milder");
  await moveThreshold(page, "violating-prompt", "0.6");
  const found = await tryOut(page);
  const [, allowed] = found.match(/Newly allowed: (\d+)/);
  assert.ok(Number(allowed) >= 30, found);
  assert.match(found, /30 are harmless/);
  await visit(page, scene.clinic.at("/console/policy/drafts/milder/curve?rule=violating-prompt&moved=alone"));
  assert.ok((await page.locator("tbody tr").count()) > 10, "the curve has points");
  await propose(page, scene.clinic, "milder", "30 of 30 refusals were wrong");
  assert.match(await policy(), /v1/, "nothing is in force by one word");
  assert.equal(await page.locator("form[action='/console/policy/approve']").count(), 0, "nobody approves of what they proposed");
  page.watch.clean();
  await page.context().close();
  const approver = await scene.visitors.page("approver");
  await visit(approver, scene.clinic.at("/console/policy/proposal"));
  assert.match(await approver.locator("main").innerText(), /0\.6/);
  await approve(approver, scene.clinic, "v2", "the labels say so");
  approver.watch.clean();
  await approver.context().close();
});

test("in the afternoon less is refused, and what violates still is", async () => {
  day.afternoon = await scene.clinic.askAll(morning());
  const after = refused(day.afternoon);
  assert.ok(after < day.before / 2, `${day.before} before, ${after} after`);
  const violating = day.morning.map(({ prompt }, place) => [prompt, place]).filter(([prompt]) => prompt.includes("bank card code"));
  assert.ok(violating.length > 0 && violating.every(([, place]) => refused([day.afternoon[place]])));
});

test("in the evening all of it is proven", async () => {
  assert.match(await scene.clinic.command(["audit", "verify"]), /the chain holds/);
  const history = await scene.clinic.command(["policy", "history"]);
  for (const by of ["by editor", "by approver", "the labels say so"]) assert.ok(history.includes(by), history);
  const page = await scene.visitors.page("approver");
  await visit(page, scene.clinic.at("/console/audit"));
  page.watch.clean();
  await page.context().close();
});
