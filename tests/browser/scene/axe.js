// WCAG 2.2 A and AA, as far as a program can tell.

import assert from "node:assert/strict";
import { AXE } from "./packages.js";

/** What depends on the colours alone, which is all that another theme changes. */
const COLOURS = ["color-contrast", "link-in-text-block"];
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** Fails with each violation of the page that is shown, and where it is; `colours` looks at the colours alone. */
export async function axe(page, where = page.url(), colours = false) {
  await page.evaluate(AXE);
  const violations = await page.evaluate(async (runOnly) => {
    const options = { runOnly, resultTypes: ["violations"] };
    const { violations } = await window.axe.run(document, options);
    return violations.map(({ id, help, nodes }) => ({
      id,
      help,
      nodes: nodes.map(({ html, target, any, all, none }) => ({
        html: html.slice(0, 200),
        target: target.join(" "),
        why: [...any, ...all, ...none].map((check) => check.message).join("; "),
      })),
    }));
  }, colours ? { type: "rule", values: COLOURS } : { type: "tag", values: TAGS });
  const told = violations.map(({ id, help, nodes }) => {
    const places = nodes.slice(0, 4).map(({ html, target, why }) => `      ${target}\n        ${html}\n        ${why}`);
    return `  ${id}: ${help} (${nodes.length})\n${places.join("\n")}`;
  });
  assert.ok(told.length === 0, `WCAG on ${where}:\n${told.join("\n")}`);
}

/** Fails where something on a page stands outside of its window, and in nothing that scrolls: nobody could read it (WCAG 1.4.10). */
export async function fits(page, where = page.url()) {
  const out = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const scrolls = (one) => one && (["auto", "scroll"].includes(getComputedStyle(one).overflowX) || scrolls(one.parentElement));
    const isOut = (one) => {
      const { left, right, top, bottom } = one.getBoundingClientRect();
      // What is a point, or before the page, is hidden on purpose: for those who listen, or until it has the focus.
      return right > width + 1 && right - left > 2 && bottom - top > 2 && bottom > 0 && !scrolls(one.parentElement);
    };
    const all = [...document.body.querySelectorAll("*")].filter(isOut);
    return all.slice(0, 5).map((one) => `${one.outerHTML.slice(0, 100)} ends at ${Math.round(one.getBoundingClientRect().right)} of ${width} px`);
  });
  assert.deepEqual(out, [], `${where} is wider than its window`);
}
