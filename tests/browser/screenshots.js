// Draws the pictures of the console that the documents show: docs/console/NAME-light.png and -dark.png.

import { mkdirSync, writeFileSync } from "node:fs";
import { browser, THEMES, visit, Visitors } from "./scene/browser.js";
import { Clinic } from "./scene/clinic.js";
import { smaller } from "./scene/png.js";
import { morning } from "./scene/traffic.js";

const FOLDER = new URL("../../docs/console/", import.meta.url);
const MOST = 150_000;

const PICTURES = ["overview", "decisions", "review", "try", "policy", "audit"];
const path = (name) => `/console/${name === "overview" ? "" : name}`;

const clinic = await Clinic.open();
const chromium = await browser();
try {
  const visitors = new Visitors(clinic, chromium);
  await clinic.askAll(morning(3));
  mkdirSync(FOLDER, { recursive: true });
  for (const theme of THEMES) {
    const page = await visitors.page("approver", { theme });
    for (const name of PICTURES) {
      await visit(page, clinic.at(path(name)));
      const picture = smaller(await page.screenshot());
      if (picture.length > MOST) throw new Error(`${name} has ${picture.length} bytes, more than ${MOST}`);
      writeFileSync(new URL(`${name}-${theme}.png`, FOLDER), picture);
      console.log(`docs/console/${name}-${theme}.png\t${picture.length}`);
    }
    await page.context().close();
  }
} finally {
  await chromium.close();
  await clinic.close();
}
