// A clinic: the real binary with a store, a vault, tenants and accounts, on free ports and in a folder of its own.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { until } from "./until.js";
import { upstream } from "./upstream.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const BINARY = process.env.NONNOCERE || join(ROOT, "target/debug/nonnocere");

/** The roles, the least first; whoever has one may do what those before may. */
export const ROLES = ["viewer", "reviewer", "editor", "approver", "admin"];

/** The password of every account. */
export const PASSWORD = "every window has a lamp";

/** Whose requests the gateway sends, and for whom. */
export const TENANTS = ["st-anna", "west", "south"];
export const AUDIENCES = ["patient", "clinician", "staff", "research"];

const configuration = (folder, { url, policy, more }) => `
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[upstream]
url = "${url}"
[guard]
policy = "${policy}"
watch = "200ms"
deadline = "120s"
queue = 4096
tenant_header = "x-tenant"
tenants = ${JSON.stringify(TENANTS)}
user_header = "x-user"
[audit]
url = "sqlite:${join(folder, "audit.db")}"
key = "${join(folder, "audit.key")}"
spool = "${join(folder, "spool")}"
sign_every = "1s"
vault = true
vault_key = "${join(folder, "vault.key")}"
[promotion]
second_approver = true
[console]
account_attempts = 1000
address_attempts = 10000
[log]
format = "json"
${more}
${AUDIENCES.map(
  (audience) => `[[routes]]
path = "/${audience}/v1/chat/completions"
rule = "guard"
surface = "chat"
audience = "${audience}"
`,
).join("")}`;

/** A running proxy with a console. */
export class Clinic {
  /** Its folder; what was asked so far, by event. */
  folder = mkdtempSync(join(tmpdir(), "nonnocere-"));
  sent = [];
  log = [];

  /**
   * Starts one, with an account for each role. `policy` is what `guard.policy` says; where it is "store", `first` is the policy
   * file that is promoted before. `said` are answers of the LLM to certain texts.
   */
  static async open({ policy = "ama", first, said, more = "", roles = ROLES } = {}) {
    const clinic = new Clinic();
    try {
      await clinic.#start({ policy, first, said, more, roles });
    } catch (error) {
      await clinic.close();
      throw error;
    }
    return clinic;
  }

  async #start({ policy, first, said, more, roles }) {
    this.upstream = await upstream(said);
    this.config = join(this.folder, "config.toml");
    writeFileSync(this.config, configuration(this.folder, { url: this.upstream.url, policy, more }));
    if (first) {
      const name = this.file("first.toml", first);
      const word = (by) => ["--by", by, "--reason", "the first version"];
      await this.command(["policy", "promote", name, ...word("ana")]);
      await this.command(["policy", "approve", "v1", ...word("ben")]);
    }
    for (const role of roles) await this.account(role, role);
    this.child = spawn(BINARY, ["serve", "--config", this.config], { cwd: this.folder });
    createInterface({ input: this.child.stderr }).on("line", (line) => this.log.push(line));
    process.once("exit", () => this.#clear());
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
    let greeting = "";
    this.child.stdout.on("data", (data) => (greeting += data));
    const found = (label) => greeting.match(new RegExp(`${label}:\\s+(http://[^/\\s]+)`))?.[1];
    await until("the proxy is there", () => {
      if (this.child.exitCode !== null) throw new Error(`the proxy has ended:\n${this.log.join("\n")}`);
      return found("clients") && found("operators");
    });
    this.clients = found("clients");
    this.operators = found("operators");
    await until("the proxy is ready", async () => (await fetch(`${this.operators}/readyz`)).ok);
  }

  /** Where a page of the console is. */
  at(path) {
    return this.operators + path;
  }

  /** Writes a file into its folder. */
  file(name, text) {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** Runs a command of the binary with this configuration; what it says. */
  async command(args, input = "") {
    // Some commands take the configuration before what is asked of them.
    const place = ["audit", "console"].includes(args[0]) ? 1 : args.length;
    const all = [...args.slice(0, place), "--config", this.config, ...args.slice(place)];
    const child = spawn(BINARY, all, { cwd: this.folder });
    let [out, err] = ["", ""];
    child.stdout.on("data", (data) => (out += data));
    child.stderr.on("data", (data) => (err += data));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    const code = await new Promise((ended) => child.on("close", ended));
    if (code !== 0) throw new Error(`nonnocere ${args.join(" ")} ended with ${code}:\n${out}${err}`);
    return out;
  }

  /** Makes an account. */
  account(name, role, password = PASSWORD) {
    return this.command(["console", "account", "add", name, "--role", role], `${password}\n`);
  }

  /** Sends a prompt through the data port; its event, status and answer. */
  async ask({ text, audience = "", tenant, user, stream = false, headers = {} }) {
    const said = { "content-type": "application/json", ...headers };
    if (tenant) said["x-tenant"] = tenant;
    if (user) said["x-user"] = user;
    const body = JSON.stringify({ model: "m", stream, messages: [{ role: "user", content: text }] });
    const path = `${audience && `/${audience}`}/v1/chat/completions`;
    const answer = await fetch(this.clients + path, { method: "POST", headers: said, body });
    const event = answer.headers.get("x-nonnocere-event-id");
    const asked = { event, status: answer.status, text: await answer.text(), prompt: text, tenant, audience };
    this.sent.push(asked);
    return asked;
  }

  /** Sends many, a few at a time, in their order. */
  async askAll(requests, together = 6) {
    const waiting = requests.entries();
    const done = [];
    const work = async () => {
      for (const [place, request] of waiting) done[place] = await this.ask(request);
    };
    await Promise.all(Array.from({ length: together }, work));
    await this.settled();
    return done;
  }

  /** A series of the metrics; 0 where it was never counted. */
  async metric(series) {
    const text = await (await fetch(`${this.operators}/metrics`)).text();
    return Number(text.split("\n").find((line) => line.startsWith(`${series} `))?.slice(series.length) ?? 0);
  }

  /** Waits until the store has a decision on everything that was asked, of each prompt and of each answer that was judged. */
  async settled() {
    const judged = async () => {
      const text = await (await fetch(`${this.operators}/metrics`)).text();
      const lines = text.split("\n").filter((line) => line.startsWith("nonnocere_decisions_total{"));
      return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    };
    await until("the store has all decisions", async () => {
      const stored = await this.metric('nonnocere_audit_decisions_total{result="stored"}');
      return stored >= (await judged());
    });
  }

  /** Ends it, and removes what it left. */
  async close() {
    if (this.child && this.child.exitCode === null) {
      const ended = new Promise((done) => this.child.once("close", done));
      this.child.kill("SIGKILL");
      await ended;
    }
    this.upstream?.close();
    this.#clear();
  }

  #clear() {
    this.child?.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
