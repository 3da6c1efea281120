// A worker is killed in mid-answer. Its browsers come to another one, which shares its store: a file, or a Redis server
// where there is one.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { browser, bundle, network, serve, shot } from "./setting.mjs";
import { attempt, check, same } from "./telling.mjs";

await bundle("chat.jsx", "chat.js");
await bundle("agui_agent.js", "agui.js");
const chromium = await browser();
const folder = mkdtempSync(`${tmpdir()}/relay-`);
let number = 0;

const stores = { SQLite: () => `sqlite:${folder}/${++number}.db` };
if (process.env.REDIS) {
  const socket = `${folder}/redis.sock`;
  const redis = spawn(process.env.REDIS, ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]);
  process.on("exit", () => redis.kill("SIGKILL"));
  for (let tries = 0; !existsSync(socket) && tries < 300; tries++) await new Promise((resolve) => setTimeout(resolve, 100));
  stores.Redis = () => `unix://${socket}`;
}

// Two workers and a network that leads to the first, until it is killed.
async function workers(store, takeover) {
  const more = { TPS: "25", STORE: stores[store](), TAKEOVER: takeover };
  const [first, second] = [await serve(more), await serve(more)];
  const wire = await network(first.port);
  const kill = () => {
    first.kill("SIGKILL");
    wire.to(second.port);
  };
  return { near: `http://127.0.0.1:${wire.port}`, far: `http://127.0.0.1:${second.port}`, kill, end: () => second.kill() };
}

const open = async (url, ready) => {
  const page = await (await chromium.newContext()).newPage();
  await page.goto(url);
  await page.waitForFunction(ready);
  return page;
};
const wait = (page, what) => page.waitForFunction(what, null, { timeout: 60_000 });
const state = { interrupted: "truncated", continue: "complete" };

for (const [store, takeover] of Object.keys(stores).flatMap((name) => [[name, "interrupted"], [name, "continue"]])) {
  await attempt(`our own events, ${store}, ${takeover}`, async () => {
    const { near, far, kill, end } = await workers(store, takeover);
    const page = await open(`${near}/events.html`, "window.seen?.text.length > 100");
    const second = await open(`${far}/events.html?id=${await page.evaluate("id")}`, "window.seen?.text.length > 60");
    kill();
    await Promise.all([wait(page, "seen.ended"), wait(second, "seen.ended")]);
    const [mine, theirs] = [await page.evaluate("seen"), await second.evaluate("seen")];
    same([mine.ended.state, theirs.ended.state], [state[takeover], state[takeover]], "the endings");
    same([mine.gaps, theirs.gaps], [0, 0], "gaps");
    same(mine.text, theirs.text, "the texts");
    check(mine.text.length > (takeover === "continue" ? 300 : 60), `${mine.text.length} characters`);
    await shot(page, `killed_events_${store}_${takeover}`);
    end();
  });

  await attempt(`useChat, ${store}, ${takeover}`, async () => {
    const { near, far, kill, end } = await workers(store, takeover);
    const id = `chat-${Date.now()}`;
    const page = await open(`${near}/chat.html?id=${id}`, "window.chat");
    await page.click("#send");
    const long = "chat.messages.some((m) => m.role === 'assistant' && m.parts.map((p) => p.text ?? '').join('').length > 60)";
    await wait(page, long);
    const second = await open(`${far}/chat.html?id=${id}&resume`, "window.chat");
    await wait(second, long);
    kill();
    await wait(page, "chat.status === 'error'");
    await page.evaluate("void chat.resumeStream()");
    await wait(page, "['streaming', 'submitted'].includes(chat.status)");
    for (const one of [page, second]) await wait(one, "chat.status === 'ready'");
    const answers = "chat.messages.filter((message) => message.role === 'assistant')";
    const [mine, theirs] = [await page.evaluate(answers), await second.evaluate(answers)];
    same([mine.length, theirs.length], [1, 1], "answers");
    same([mine[0].metadata.state, theirs[0].metadata.state], [state[takeover], state[takeover]], "the states");
    same(mine[0].parts, theirs[0].parts, "the parts");
    await shot(page, `killed_chat_${store}_${takeover}`);
    end();
  });

  await attempt(`HttpAgent, ${store}, ${takeover}`, async () => {
    const { near, far, kill, end } = await workers(store, takeover);
    const id = `thread-${Date.now()}`;
    const page = await open(`${near}/agui.html?id=${id}&api=text`, "window.go");
    await page.evaluate("void go(false)");
    const long = "agent.messages.some((m) => m.role !== 'user' && (m.content ?? '').length > 60)";
    await wait(page, long);
    kill();
    await wait(page, "seen.state === 'failed'");
    await page.evaluate("void go(true)");
    const second = await open(`${far}/agui.html?id=${id}&api=text`, "window.go");
    await second.evaluate("void go(true)");
    const ended = "['ended', 'failed'].includes(seen.state)";
    await Promise.all([wait(page, ended), wait(second, ended)]);
    const last = takeover === "continue" ? "RUN_FINISHED" : "RUN_ERROR";
    for (const one of [page, second]) same(await one.evaluate(`seen.kinds.${last}`), 1, last);
    const told = "agent.messages.map(({ role, content }) => [role, content])";
    same(await page.evaluate(told), await second.evaluate(told), "the messages");
    end();
  });
}

process.exit(0);
