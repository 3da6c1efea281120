// AG-UI's `HttpAgent` in a browser: thinking, text and a call; a cut network, a reload, a second tab, stop.
import { browser, bundle, network, serve, shot } from "./setting.mjs";
import { attempt, check, same } from "./telling.mjs";

await bundle("agui_agent.js", "agui.js");
const server = await serve({ TPS: "30" });
const wire = await network(server.port);
const chromium = await browser();
let number = 0;

const open = async (id) => {
  const page = await (await chromium.newContext()).newPage();
  await page.goto(`http://127.0.0.1:${wire.port}/agui.html?id=${id}`);
  await page.waitForFunction("window.go");
  return page;
};
const go = (page, resume) => page.evaluate(`void go(${resume})`);
const over = async (page) => {
  await page.waitForFunction("['ended', 'failed'].includes(seen.state)", null, { timeout: 60_000 });
  return page.evaluate("seen");
};
const answered = (page, least) =>
  page.waitForFunction(`agent.messages.some((m) => m.role !== "user" && (m.content ?? "").length >= ${least})`, null, { timeout: 30_000 });
const messages = (page) => page.evaluate("agent.messages");
const told = (found) => found.map(({ role, content, toolCalls }) => ({ role, content, calls: toolCalls?.map((c) => c.function) }));

async function begun() {
  const id = `thread-${++number}-${Date.now()}`;
  const page = await open(id);
  await go(page, false);
  return { id, page };
}

await attempt("thinking, text and a call; a second tab is told the same", async () => {
  const { id, page } = await begun();
  await answered(page, 30);
  const second = await open(id);
  await go(second, true);
  await answered(second, 60);
  await shot(second, "agui");
  const [first, other] = [await over(page), await over(second)];
  same([first.error, other.error], [null, null], "errors");
  const [mine, theirs] = [await messages(page), await messages(second)];
  same(told(mine), told(theirs), "the messages");
  same(mine.map((message) => message.id), theirs.map((message) => message.id), "the messages' ids");
  const roles = mine.map((message) => message.role);
  check(roles.includes("reasoning") && roles.includes("assistant"), `roles ${roles}`);
  const calls = mine.flatMap((message) => message.toolCalls ?? []);
  same(calls.map((call) => call.function.name), ["look_up_harbour"], "the calls");
  JSON.parse(calls[0].function.arguments);
  same(first.outcome.outcome, { type: "success", pendingToolCallIds: [calls[0].id] }, "the outcome");
  await shot(page, "agui_end");
});

await attempt("a lost network, then a reload", async () => {
  const { id, page } = await begun();
  await answered(page, 30);
  wire.cut();
  same((await over(page)).state, "failed", "the state after the cut");
  await go(page, true);
  await answered(page, 40);
  await page.reload();
  await page.waitForFunction("window.go");
  await go(page, true);
  const ended = await over(page);
  same([ended.state, ended.error], ["ended", null], "the state");
  const again = await open(id);
  await go(again, true); // after the end
  await over(again);
  same(told(await messages(again)), told(await messages(page)), "the messages");
});

await attempt("stopped: cancelled", async () => {
  const { id, page } = await begun();
  await answered(page, 20);
  const stop = await fetch(`http://127.0.0.1:${server.port}/agui/${id}/stop`, { method: "POST" });
  same(stop.status, 204, "the status of stop");
  const ended = await over(page);
  same([ended.state, ended.outcome?.outcome?.type], ["ended", "cancelled"], "the ending");
});

process.exit(0);
