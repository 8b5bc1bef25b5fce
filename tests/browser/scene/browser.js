// A browser, and what is noticed while a page is looked at.

import assert from "node:assert/strict";
import { chromium, CHROMIUM } from "./packages.js";
import { PASSWORD } from "./clinic.js";

/** How a page may be looked at. */
export const THEMES = ["light", "dark"];
export const LANGUAGES = ["en", "es"];
export const WIDTHS = [1280, 360];

/** Starts the browser. */
export function browser() {
  // As root, as in a container, there is no sandbox; the pages are our own.
  const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"];
  return chromium.launch({ executablePath: CHROMIUM, args });
}

/** What must not happen on any page. */
class Watch {
  constructor(page, origin) {
    this.faults = [];
    this.page = page;
    page.on("pageerror", (error) => this.faults.push(`an error of a script: ${error.message}`));
    page.on("console", (message) => {
      // A browser says so of every page that is refused or missing; the tests look at the status themselves.
      const isStatus = message.text().startsWith("Failed to load resource: the server responded with a status of");
      const ofPage = message.location().url === page.url();
      if (["error", "warning"].includes(message.type()) && !(isStatus && ofPage)) {
        this.faults.push(`the console says: ${message.text()} (${message.location().url})`);
      }
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(`${origin}/`)) this.faults.push(`something is asked of ${request.url()}`);
    });
    page.on("requestfailed", (request) => {
      const why = request.failure()?.errorText;
      if (why !== "net::ERR_ABORTED") this.faults.push(`${request.url()} cannot be loaded: ${why}`);
    });
    page.on("dialog", (dialog) => {
      this.faults.push(`a dialog says: ${dialog.message()}`);
      dialog.dismiss();
    });
  }

  /** Fails where something was noticed. */
  clean(where = this.page.url()) {
    const faults = this.faults.splice(0);
    assert.deepEqual(faults, [], `${where}:\n  ${faults.join("\n  ")}`);
  }
}

const VIOLATIONS = `
  document.addEventListener("securitypolicyviolation", (event) =>
    console.error("a violation of the content security policy: " + event.violatedDirective + " " + event.blockedURI + " " + event.sample));
`;

/** Sessions of roles, so that each signs in once. */
export class Visitors {
  #states = new Map();

  constructor(clinic, browser) {
    this.clinic = clinic;
    this.browser = browser;
  }

  /** A page of someone who is signed in as `name`, or of nobody; close it by `page.context().close()`. */
  async page(name, { theme = "light", language = "en", width = 1280, height = 800, scripts = true, scale = 1 } = {}) {
    const state = name ? await this.#state(name) : { cookies: [], origins: [] };
    const { hostname } = new URL(this.clinic.operators);
    const cookie = (name, value) => ({ name, value, domain: hostname, path: "/console", httpOnly: true, sameSite: "Lax" });
    const cookies = [...state.cookies.filter((cookie) => !["theme", "language"].includes(cookie.name)), cookie("theme", theme)];
    cookies.push(cookie("language", language));
    const context = await this.browser.newContext({
      storageState: { cookies, origins: [] },
      viewport: { width, height },
      javaScriptEnabled: scripts,
      colorScheme: theme,
      locale: language,
      deviceScaleFactor: scale,
      reducedMotion: "reduce",
    });
    context.setDefaultTimeout(60_000);
    const page = await context.newPage();
    if (scripts) await page.addInitScript(VIOLATIONS);
    page.watch = new Watch(page, this.clinic.operators);
    return page;
  }

  /** The cookies of someone who is signed in, for requests without a browser. */
  async cookies(name) {
    return (await this.#state(name)).cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
  }

  async #state(name) {
    if (!this.#states.has(name)) {
      const context = await this.browser.newContext();
      const page = await context.newPage();
      await signIn(page, this.clinic, name);
      this.#states.set(name, await context.storageState());
      await context.close();
    }
    return this.#states.get(name);
  }
}

/** Fills the page on which one signs in. */
export async function signIn(page, clinic, name, password = PASSWORD) {
  await page.goto(clinic.at("/console/sign-in"));
  await page.fill("#name", name);
  await page.fill("#password", password);
  await page.locator("form[action='/console/sign-in'] button").click();
  await page.waitForURL((url) => !url.pathname.endsWith("/sign-in"), { timeout: 60_000 });
}

/** Goes to a page, which answers with `status`. */
export async function visit(page, url, status = 200) {
  const answer = await page.goto(url);
  assert.equal(answer.status(), status, url);
  return answer;
}
