// What a file of tests has: one clinic with a morning behind it, and one browser.

import { after, before } from "node:test";
import { browser, Visitors } from "./browser.js";
import { Clinic } from "./clinic.js";
import { begin, moveThreshold, propose, tryOut } from "./drafting.js";
import { morning } from "./traffic.js";

/** A clinic and visitors, for all tests of a file; `prepare` may do more before them. */
export function stage({ times = 1, prepare, ...options } = {}) {
  const scene = {};
  before(async () => {
    // One after the other, so that what was opened is closed where the other fails.
    scene.browser = await browser();
    scene.clinic = await Clinic.open(options);
    scene.visitors = new Visitors(scene.clinic, scene.browser);
    if (times) await scene.clinic.askAll(morning(times));
    // A decision with an answer behind it, to look at.
    scene.clinic.shown = scene.clinic.sent.find(({ text }) => text.includes("can't help") || text.includes("cannot")) ?? scene.clinic.sent[0];
    await prepare?.(scene);
  });
  after(async () => {
    await scene.browser?.close();
    await scene.clinic?.close();
  });
  return scene;
}

/** Leaves a draft behind, as an editor makes one. */
export async function drafted({ clinic, visitors }) {
  const page = await visitors.page("editor");
  await begin(page, clinic, "milder");
  clinic.draft = "milder";
  await page.context().close();
}

/** The same, tried and proposed. */
export async function proposed(scene) {
  await drafted(scene);
  const page = await scene.visitors.page("editor");
  await page.goto(scene.clinic.at("/console/policy/drafts/milder"));
  await moveThreshold(page, "violating-prompt", "0.5");
  await tryOut(page);
  await propose(page, scene.clinic, "milder", "it stops too much");
  await page.context().close();
}
