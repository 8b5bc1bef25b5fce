// Who may do what: every route of the table, by every role, and by nobody.

import { test } from "node:test";
import assert from "node:assert/strict";
import { signIn, visit } from "./scene/browser.js";
import { PASSWORD, ROLES } from "./scene/clinic.js";
import { filled, may, ROUTES } from "./scene/pages.js";
import { stage } from "./scene/stage.js";

const scene = stage({ times: 0, prepare: ({ clinic }) => clinic.askAll([{ text: "Which checks come before starting warfarin?" }]) });

/** Asks without a browser, as `name`. */
async function asked(name, { method, path, body, headers = {} }) {
  const said = { cookie: name ? await scene.visitors.cookies(name) : "", ...headers };
  if (method === "POST") said["content-type"] = "application/x-www-form-urlencoded";
  return fetch(scene.clinic.at(path), { method, headers: said, body, redirect: "manual" });
}

test("the table is read", () => {
  assert.ok(ROUTES.length >= 20, `${ROUTES.length} routes`);
  assert.ok(ROUTES.some(({ method, path, least }) => method === "POST" && path === "/console/people" && least === "admin"));
  assert.ok(ROUTES.filter(({ least }) => !least).length < 10, "few pages are for anyone");
});

for (const role of ROLES) {
  test(`the ${role} signs in, and is shown the pages of the role`, async () => {
    const page = await scene.visitors.page();
    await signIn(page, scene.clinic, role);
    const links = await page.locator("nav a").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
    const least = (path) => ROUTES.find((route) => route.method === "GET" && route.path === path)?.least;
    assert.ok(links.length > 3 && links.every((path) => may(role, least(path))), `${links}`);
    for (const path of links) await visit(page, scene.clinic.at(path));
    page.watch.clean();
    await page.context().close();
  });

  test(`the ${role} is refused all other routes`, async () => {
    for (const route of ROUTES.filter(({ least }) => least)) {
      const path = filled(route.path, scene.clinic);
      const { status } = await asked(role, { ...route, path });
      if (!may(role, route.least)) assert.equal(status, 403, `${route.method} ${path} by the ${role}`);
      else if (route.method === "GET") assert.ok([200, 404].includes(status), `${route.method} ${path} by the ${role}: ${status}`);
      // What is posted without the token of the session is refused, whoever posts it.
      else assert.equal(status, 403, `${route.method} ${path} by the ${role}, without a token`);
    }
  });
}

test("nobody is shown anything, and comes back to what was asked for after signing in", async () => {
  for (const route of ROUTES.filter(({ least }) => least)) {
    const answer = await asked(undefined, { ...route, path: filled(route.path, scene.clinic) });
    assert.equal(answer.status, 303, route.path);
    assert.match(answer.headers.get("location"), /^\/console\/sign-in/);
  }
  const page = await scene.visitors.page();
  await visit(page, scene.clinic.at("/console/decisions?action=block"));
  assert.equal(new URL(page.url()).pathname, "/console/sign-in");
  await page.fill("#name", "viewer");
  await page.fill("#password", PASSWORD);
  await page.locator("form[action='/console/sign-in'] button").click();
  await page.waitForURL("**/console/decisions?action=block");
  await page.context().close();
});

test("who has signed out, or has another password, is out", async () => {
  await scene.clinic.account("leaver", "viewer");
  const page = await scene.visitors.page();
  await signIn(page, scene.clinic, "leaver");
  const cookies = await page.context().cookies();
  const session = cookies.find(({ name }) => name === "session");
  assert.deepEqual([session.httpOnly, session.sameSite, session.path], [true, "Lax", "/console"]);
  await page.locator("form[action='/console/sign-out'] button").click();
  await page.waitForURL("**/console/sign-in*");
  await page.context().addCookies(cookies);
  await page.goto(scene.clinic.at("/console/"));
  assert.equal(new URL(page.url()).pathname, "/console/sign-in");
  await page.context().close();
});

test("another site cannot post", async () => {
  const page = await scene.visitors.page("admin");
  await visit(page, scene.clinic.at("/console/people"));
  const csrf = await page.locator("input[name=csrf]").first().inputValue();
  const body = new URLSearchParams({ csrf, name: "intruder", role: "admin", password: PASSWORD }).toString();
  for (const headers of [{ origin: "https://elsewhere.example" }, { "sec-fetch-site": "cross-site" }, { origin: "null" }]) {
    const { status } = await asked("admin", { method: "POST", path: "/console/people", body, headers });
    assert.equal(status, 403, JSON.stringify(headers));
  }
  const { status } = await asked("admin", { method: "POST", path: "/console/people", body: body.replace(csrf, "x".repeat(csrf.length)) });
  assert.equal(status, 403, "a wrong token");
  await page.reload();
  assert.equal(await page.getByText("intruder").count(), 0);
  await page.context().close();
});
