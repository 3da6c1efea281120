// What the JavaScript programs share: cases, each with a simulator of its own, told as lines of JSON.
//
// A program is run as `program.mjs KEEPER [case...]`. Its first line names the cases, then comes a line for each.
import { deepStrictEqual } from "node:assert";

export const MODEL = "claude-sonnet-5-5";
export const OLDER = "claude-haiku-4-5"; // takes what newer models refuse: temperature, a thinking budget
const SOON = { "retry-after": "0", "retry-after-ms": "1" };
export const RATE_LIMITED = { fail: { status: 429, headers: SOON } };
export const OVERLOADED = { fail: { status: 529, headers: SOON } };
export const BROKEN_MIDWAY = { cut: { after: 3, how: { status: 529 }, text: "one two three four five six seven" } };
export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
export const TWO_CALLS = {
  answer: [
    { thinking: "Both, then." },
    "I look it up.",
    { tool_use: { name: "get_weather", input: { city: "Köln", days: 2 } } },
    { tool_use: { name: "get_weather", input: { city: "Oslo", days: 7 } } },
  ],
};

const cases = new Map();
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
console.log = console.info = console.warn = console.error; // what libraries print is no line of ours

class Simulator {
  // A simulator that the keeper serves for one case.
  static async start(keeper, settings) {
    const simulator = new Simulator();
    simulator.keeper = keeper;
    const told = await simulator.ask("POST", "", { settings });
    simulator.id = told.id;
    simulator.url = told.url;
    return simulator;
  }
  async script(...steps) {
    await this.ask("POST", `${this.id}/script`, steps);
  }
  async requests() {
    return this.ask("GET", `${this.id}/requests`);
  }
  // The requests to create a message.
  async messages() {
    return (await this.requests()).filter((request) => request.path === "/v1/messages");
  }
  // Waits until `what` holds of the requests: that a client has gone shows a moment later.
  async waitFor(what, seconds = 5) {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const requests = await this.requests();
      if (await what(requests)) return;
      if (Date.now() > deadline) {
        throw new Error(`never so: ${requests.map((r) => [r.path, r.status, r.outcome].join(" "))}`);
      }
      await new Promise((done) => setTimeout(done, 10));
    }
  }
  async stop() {
    await this.ask("DELETE", this.id);
  }
  async ask(method, path, body) {
    const response = await fetch(`${this.keeper}/${path}`, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
    const told = await response.json();
    if (!response.ok) throw new Error(told.error);
    return told;
  }
}

// Makes a function a case: it gets a simulator with these settings.
export function testCase(name, run, settings = {}) {
  cases.set(name, { run, settings });
}

// Asserts that two values are equal, and tells both if not.
export function same(found, wanted) {
  try {
    deepStrictEqual(found, wanted);
  } catch {
    throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`);
  }
}

export function holds(truth, words) {
  if (!truth) throw new Error(`does not hold: ${words}`);
}

// Asserts that the function rejects, with an error for which `is` holds; returns it.
export async function rejects(run, is) {
  let error;
  try {
    await run();
  } catch (caught) {
    error = caught;
  }
  if (error === undefined) throw new Error("did not fail");
  if (!is(error)) throw new Error(`failed as it should not: ${error?.constructor?.name}: ${error?.message}`);
  return error;
}

export const says = (text) => [{ role: "user", content: text }];

export async function main() {
  const [keeper, ...asked] = process.argv.slice(2);
  const names = asked.length ? asked : [...cases.keys()];
  tell({ cases: names });
  process.on("unhandledRejection", (error) => console.error("unhandled:", error));
  for (const name of names) {
    const { run, settings } = cases.get(name);
    const begun = Date.now();
    let failed = null;
    let simulator;
    try {
      simulator = await Simulator.start(keeper, settings);
      await run(simulator);
    } catch (error) {
      console.error(error);
      const place = /(?:programs|over_engine)\/(\w+\.mjs:\d+)/.exec((error?.stack ?? "").replaceAll("casebook.mjs", ""));
      failed = `${error?.constructor?.name}: ${String(error?.message ?? error).slice(0, 400)}${place ? ` (${place[1]})` : ""}`;
    } finally {
      await simulator?.stop();
    }
    tell({ case: name, failed, seconds: (Date.now() - begun) / 1000 });
  }
  process.exit(0); // whatever a library has left open
}
