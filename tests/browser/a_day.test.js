// A day of a hospital whose policy stops too much: it is seen, reviewed, mended, approved by someone else, and proven.

import { test } from "node:test";
import assert from "node:assert/strict";
import { STRICT } from "./scene/strict.js";
import { stage } from "./scene/stage.js";
import { morning } from "./scene/traffic.js";
import { HARD, HARMLESS } from "./scene/prompts.js";
import { approve, begin, moveThreshold, propose, tryOut } from "./scene/drafting.js";
import { mark, shown } from "./scene/reviewing.js";
import { visit } from "./scene/browser.js";

const scene = stage({ policy: "store", first: STRICT, times: 0 });

const WELL_MEANT = new Set([...HARD, ...HARMLESS].map(([, text]) => text));

/** The answers that are refusals, and their part. */
const isRefused = ({ text }) => /can't help with this here|No puedo ayudar/.test(text);
const isStopped = ({ text }) => isRefused({ text }) || text.includes("emergency number") || text.includes("número de emergencias");
const refused = (answers) => answers.filter(isRefused).length / answers.length;

const policy = async () => (await fetch(`${scene.clinic.operators}/policy`)).text();

/** What a card of the overview says: its number, and of how many it is. */
async function card(page, title) {
  const card = page.locator(".cards .card").filter({ has: page.getByRole("heading", { name: title, exact: true }) });
  const [, hits, all] = (await card.innerText()).match(/([\d,]+) of ([\d,]+);/) ?? [];
  const number = (text) => Number(text?.replaceAll(",", ""));
  return { number: await card.locator(".number").innerText(), hits: number(hits), all: number(all) };
}

const day = {};

test("in the morning too much is refused, and the overview shows it", async () => {
  day.morning = await scene.clinic.askAll(morning());
  day.before = refused(day.morning);
  assert.ok(day.before > 0.35, `${day.before}`);
  const page = await scene.visitors.page("viewer");
  await visit(page, scene.clinic.at("/console/"));
  day.seen = await card(page, "Refusal rate");
  assert.equal(day.seen.all, day.morning.length);
  assert.equal(day.seen.hits, day.morning.filter(isStopped).length);
  assert.equal(day.seen.number, `${((day.seen.hits / day.seen.all) * 100).toFixed(1)}%`);
  assert.equal((await card(page, "Stopped wrongly")).number, "–", "nobody has looked yet");
  page.watch.clean();
  await page.context().close();
});

test("thirty decisions are reviewed, by click and by key", async () => {
  const page = await scene.visitors.page("reviewer");
  const asked = new Map(day.morning.map((one) => [one.event, one]));
  day.labelled = new Map();
  await visit(page, scene.clinic.at("/console/review"));
  for (let place = 0; place < 30; place++) {
    const { event, direction } = await shown(page);
    const { prompt, text } = asked.get(event);
    const isWrong = direction === "prompt" && isRefused({ text }) && WELL_MEANT.has(prompt);
    const said = await mark(page, isWrong ? "over-blocked" : "correct", { key: place % 3 !== 0 });
    assert.match(said, isWrong ? /stopped wrongly/i : /correct/i);
    day.labelled.set(`${event} ${direction}`, isWrong);
  }
  assert.equal(day.labelled.size, 30, "nothing is shown twice");
  assert.match(await page.locator("main").innerText(), /Settled\s+30/);
  day.wrong = [...day.labelled.values()].filter(Boolean).length;
  assert.ok(day.wrong > 0, `${day.wrong} of 30`);
  await visit(page, scene.clinic.at("/console/"));
  assert.equal((await card(page, "Stopped wrongly")).hits, day.wrong);
  page.watch.clean();
  await page.context().close();
});

test("a draft with a higher threshold is tried and proposed by one, and approved by another", async () => {
  const page = await scene.visitors.page("editor");
  await begin(page, scene.clinic, "milder");
  await moveThreshold(page, "violating-prompt", "0.6");
  const found = await tryOut(page);
  const [, allowed] = found.match(/Newly allowed: (\d+)/);
  assert.ok(Number(allowed) >= 30, found);
  assert.match(found, new RegExp(`${day.wrong} are harmless`));
  await visit(page, scene.clinic.at("/console/policy/drafts/milder/curve?rule=violating-prompt&moved=alone"));
  assert.ok((await page.locator("tbody tr").count()) > 10, "the curve has points");
  await propose(page, scene.clinic, "milder", `${day.wrong} refusals that we looked at were wrong`);
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
  assert.ok(after < day.before * 0.6, `${day.before} before, ${after} after`);
  const violating = day.morning.map(({ prompt }, place) => [prompt, place]).filter(([prompt]) => prompt.includes("bank card code"));
  assert.ok(violating.length > 0 && violating.every(([, place]) => refused([day.afternoon[place]])));
  const page = await scene.visitors.page("viewer");
  await visit(page, scene.clinic.at("/console/"));
  const { hits, all } = await card(page, "Refusal rate");
  assert.equal(all - day.seen.all, day.afternoon.length);
  assert.equal(hits - day.seen.hits, day.afternoon.filter(isStopped).length);
  const rates = [day.seen.hits / day.seen.all, (hits - day.seen.hits) / (all - day.seen.all)];
  assert.ok(rates[1] < rates[0] * 0.6 + 0.05, `the overview shows ${rates}`);
  page.watch.clean();
  await page.context().close();
});

test("in the evening all of it is proven", async () => {
  assert.match(await scene.clinic.command(["audit", "verify"]), /the chain holds/);
  const history = await scene.clinic.command(["policy", "history"]);
  for (const by of ["by editor", "by approver", "the labels say so"]) assert.ok(history.includes(by), history);
  const page = await scene.visitors.page("approver");
  await visit(page, scene.clinic.at("/console/audit"));
  const acts = await page.locator("main").innerText();
  for (const word of ["editor", "approver", "the labels say so"]) assert.ok(acts.includes(word), acts);
  await page.locator("form[action='/console/audit/proof'] button").click();
  await page.waitForURL("**/console/audit/proof");
  await page.getByText("The chain holds").waitFor();
  assert.match(await page.locator("main").innerText(), /Acts that hold\s+[1-9]/);
  page.watch.clean();
  await page.context().close();
});
