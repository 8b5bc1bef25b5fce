// How a policy is changed by those who may: a draft, a threshold, a trial, a proposal, an approval. With and without scripts.

import assert from "node:assert/strict";
import { until } from "./until.js";
import { visit } from "./browser.js";

/** What a page says of what was done. */
const said = (page) => page.locator("[role=status]").first().innerText();

/** Begins a draft from what is in force. */
export async function begin(page, clinic, name) {
  await visit(page, clinic.at("/console/policy"));
  await page.fill("#draft-name", name);
  await page.locator("form[action='/console/policy/drafts'] button").click();
  await page.waitForURL(`**/console/policy/drafts/${name}`);
  assert.ok(await said(page));
}

/** Gives a rule of the draft that is shown another threshold. */
export async function moveThreshold(page, rule, threshold) {
  await page.locator(`[name="threshold:${rule}"]`).fill(threshold);
  await page.locator("button[name=wish][value=rules]").click();
  await page.getByText("violating-prompt").first().waitFor();
  assert.equal(Number(await page.locator(`[name="threshold:${rule}"]`).inputValue()), Number(threshold));
}

/** Tries the draft that is shown, and waits for what was found; what the page of it says. */
export async function tryOut(page) {
  await page.locator("form[action$='/trial'] button").click();
  await page.waitForURL("**/trial");
  const words = await until("the draft was tried", async () => {
    const words = await page.locator("main").innerText().catch(() => "");
    return /Newly allowed/.test(words) && words;
  });
  return words;
}

/** Proposes a draft that was tried. */
export async function propose(page, clinic, name, reason) {
  await visit(page, clinic.at(`/console/policy/drafts/${name}`));
  await page.fill("#bring-reason", reason);
  await page.locator("form[action$='/propose'] button.primary").click();
  await page.waitForURL("**/console/policy");
  assert.match(await said(page), /Proposed/);
}

/** Approves of what was proposed, and waits until it holds. */
export async function approve(page, clinic, version, reason) {
  await visit(page, clinic.at("/console/policy"));
  await page.fill("#approve-reason", reason);
  await page.locator("form[action='/console/policy/approve'] button.primary").click();
  await page.waitForURL("**/console/policy");
  const policy = async () => (await fetch(`${clinic.operators}/policy`)).text();
  await until(`${version} is in force`, async () => (await policy()).includes(version));
}
