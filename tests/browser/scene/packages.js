// What comes from npm: it is installed outside of the sources, where Node does not look by itself.

import { createRequire } from "node:module";
import { existsSync, readFileSync } from "node:fs";

const require = createRequire(new URL("../../../target/browser-test/package.json", import.meta.url));

/** What drives the browser. */
export const { chromium, errors } = require("playwright-core");

/** What knows WCAG, as a script for a page. */
export const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** The browser. */
export const CHROMIUM = process.env.CHROMIUM || ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
