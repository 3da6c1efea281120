// `useChat({ resume: true })` in a browser: reloads, a second device, a lost network, stop.
import { browser, bundle, network, serve, shot, sleep } from "./setting.mjs";
import { attempt, check, same } from "./telling.mjs";

await bundle("chat.jsx", "chat.js");
const server = await serve({ TPS: "30" });
const wire = await network(server.port);
const chromium = await browser();
const base = `http://127.0.0.1:${wire.port}`;
let number = 0;

const open = async (context, query) => {
  const page = await context.newPage();
  await page.goto(`${base}/chat.html?${query}`);
  await page.waitForFunction("window.chat");
  return page;
};
const answers = (page) => page.evaluate("chat.messages.filter((message) => message.role === 'assistant')");
const text = (message) => message.parts.map((part) => part.text ?? "").join("");
const grown = (page, length) =>
  page.waitForFunction(
    (least) => chat.messages.some((m) => m.role === "assistant" && m.parts.map((p) => p.text ?? "").join("").length >= least),
    length,
    { timeout: 30_000 },
  );
const over = (page) => page.waitForFunction("['ready', 'error'].includes(chat.status)", null, { timeout: 60_000 });
const status = (page) => page.evaluate("chat.status");
const stop = (id) => fetch(`http://127.0.0.1:${server.port}/vercel/${id}/stop`, { method: "POST" });

// A chat that is being answered.
async function begun(api = "/vercel") {
  const id = `chat-${++number}-${Date.now()}`;
  const context = await chromium.newContext();
  const page = await open(context, `id=${id}&api=${api}`);
  await page.click("#send");
  return { id, context, page };
}

async function one(page, what) {
  const found = await answers(page);
  same(found.length, 1, `${what}: answers`);
  return found[0];
}

await attempt("a reload and a second device: one message, the same on both", async () => {
  const { id, page } = await begun();
  await grown(page, 60);
  await page.reload();
  await page.waitForFunction("window.chat");
  await grown(page, 120);
  await one(page, "after the reload");
  const phone = await chromium.newContext({ viewport: { width: 400, height: 700 } });
  const second = await open(phone, `id=${id}&resume`);
  await grown(second, 150);
  await shot(second, "chat_phone");
  await Promise.all([over(page), over(second)]);
  const [first, other] = [await one(page, "the first"), await one(second, "the second")];
  same(first.parts, other.parts, "the parts");
  same(first.id, other.id, "the message's id");
  check(text(first).length > 300, `a short answer: ${text(first).length}`);
  same(first.metadata.state, "complete", "the state");
  check(first.parts.filter((part) => part.type === "text").every((part) => part.state === "done"), "open parts");
  await shot(page, "chat_end");
});

await attempt("a lost network: resumed, one message", async () => {
  const { page } = await begun();
  await grown(page, 60);
  wire.cut();
  await over(page);
  same(await status(page), "error", "the status after the cut");
  await page.evaluate("void chat.resumeStream()");
  await page.waitForFunction("chat.status === 'streaming'");
  await over(page);
  same(await status(page), "ready", "the status at the end");
  check(text(await one(page, "resumed")).length > 300, "a short answer");
});

for (const stored of ["users", "all"]) {
  await attempt(`a reload after the end, stored: ${stored}`, async () => {
    const { id, context, page } = await begun();
    await grown(page, 60);
    await over(page);
    const before = await one(page, "before");
    const again = await open(context, `id=${id}&stored=${stored}`);
    await grown(again, 300);
    await over(again);
    await sleep(500);
    const after = await one(again, "after");
    same(text(after), text(before), "the text");
    same(after.id, before.id, "the message's id");
  });
}

await attempt("nothing runs: the chat is ready at once", async () => {
  const page = await open(await chromium.newContext(), `id=nothing-${Date.now()}&resume`);
  await page.waitForFunction("chat.status === 'ready'");
  same([await answers(page), await page.evaluate("errors")], [[], []], "answers and errors");
});

await attempt("stop() only disconnects; the endpoint ends it, and says so", async () => {
  const { id, page } = await begun();
  await grown(page, 40);
  const second = await open(await chromium.newContext(), `id=${id}&resume`);
  await grown(second, 60);
  await page.evaluate("chat.stop()");
  await over(page);
  const had = text(await one(second, "the second")).length;
  await grown(second, had + 30);
  same((await stop(id)).status, 204, "the status of stop");
  await over(second);
  const stopped = await one(second, "stopped");
  same([await status(second), stopped.metadata.state], ["ready", "cancelled"], "the status and the state");
});

await attempt("thinking, text and calls", async () => {
  const { id, page } = await begun("/tools");
  await grown(page, 20);
  await page.reload();
  await page.waitForFunction("window.chat");
  await over(page);
  const message = await one(page, "the answer");
  const kinds = new Set(message.parts.map((part) => part.type));
  check(kinds.has("reasoning"), `no thinking in ${[...kinds]}`);
  const call = message.parts.find((part) => part.type === "tool-look_up_harbour");
  check(call?.state === "input-available", `the call is ${JSON.stringify(call)}`);
  await shot(page, "chat_tools");
  void id;
});

process.exit(0);
