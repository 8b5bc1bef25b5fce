// Every page of the console, once. Paths come from the table of the console itself, so that a page that is new is tried too.

import { readFileSync } from "node:fs";
import { ROLES } from "./clinic.js";

const TABLE = new URL("../../../src/console/mod.rs", import.meta.url);

/** The table of routes: method, path, and the least role, which is nothing where anyone may ask. */
export const ROUTES = [
  ...readFileSync(TABLE, "utf8").matchAll(/Route::(get|post)\(\s*"([^"]+)",\s*(?:Open|For\(\s*(?:Role::)?(\w+))/g),
].map(([, method, path, role]) => ({ method: method.toUpperCase(), path, least: role?.toLowerCase() }));

/** Whether `role` may do what takes `least`. */
export const may = (role, least) => ROLES.indexOf(role) >= ROLES.indexOf(least);

/** A path whose parts in braces are filled: by an event and a draft that are there, or by nothing that is. */
export function filled(path, clinic) {
  const name = path.includes("/drafts/") ? (clinic.draft ?? "none") : "viewer";
  const values = { event: clinic.shown?.event ?? "none", direction: "prompt", name };
  return path.replace(/\{\*?(\w+)\}/g, (_, name) => values[name] ?? "none");
}

/** What is no page to look at: files, and what needs a query. */
const isNoPage = (path) => /\/assets\/|\{\*|\/text$|\.json$|\/curve$/.test(path);

/** More looks at the same pages: with filters, and with nothing found. */
const LOOKS = [
  ["decisions-refused", "/console/decisions?action=block", "viewer"],
  ["decisions-none", "/console/decisions?event=nothing-is-called-so", "viewer"],
  ["curve", "/console/policy/drafts/{name}/curve?rule=violating-prompt&moved=alone", "viewer"],
  ["not-found", "/console/nothing", "viewer", 404],
];

/** The pages that are looked at: their name, path, status, and the least role. */
export function pages(clinic) {
  const looked = ROUTES.filter(({ method, path }) => method === "GET" && !isNoPage(path));
  const named = looked.map(({ path, least }) => {
    const name = path.replace("/console/", "").replace(/\/?\{(\w+)\}/g, "-$1") || "overview";
    return { name, path: filled(path, clinic), least, status: 200 };
  });
  const more = LOOKS.map(([name, path, least, status = 200]) => ({ name, path: filled(path, clinic), least, status }));
  return [...named, ...more];
}
