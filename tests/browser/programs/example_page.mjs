// The chat among the examples, as a person uses it.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { browser, network, serve, shot, sleep } from "./setting.mjs";
import { attempt, check, same } from "./telling.mjs";

const { EXAMPLE, EXAMPLE_SERVER } = process.env;
const chromium = await browser();

async function chat(more) {
  const begin = () => serve(more, [EXAMPLE_SERVER, EXAMPLE, folder]);
  const folder = mkdtempSync(`${tmpdir()}/chat-`);
  const server = await begin();
  const wire = await network(server.port);
  const context = await chromium.newContext();
  const base = `http://127.0.0.1:${wire.port}/`;
  const open = async (url = base, within = context) => {
    const page = await within.newPage();
    await page.goto(url);
    return page;
  };
  return { server, wire, open, begin, page: await open() };
}

const texts = (page, kind) => page.locator(`main > .${kind}`).allTextContents();
const answered = (page, least, number = 0) =>
  page.waitForFunction(
    ([least, number]) => (document.querySelectorAll("main > .assistant")[number]?.textContent ?? "").length >= least,
    [least, number],
    { timeout: 40_000 },
  );
const idle = (page) => page.waitForFunction("document.getElementById('stop').hidden", null, { timeout: 60_000 });

async function ask(page, text) {
  await page.fill("#text", text);
  await page.click("#send");
}

await attempt("a reload, a second tab and a cut network", async () => {
  const { wire, open, page } = await chat({ TPS: "25" });
  await ask(page, "Tell me of the sea");
  await answered(page, 60);
  await page.reload();
  await answered(page, 100);
  const second = await open(page.url());
  await answered(second, 120);
  await shot(page, "example_answering");
  wire.cut();
  await Promise.all([idle(page), idle(second)]);
  await sleep(300);
  const answer = await texts(page, "assistant");
  check(answer.length === 1 && answer[0].length > 300, `answers: ${JSON.stringify(answer).slice(0, 300)}`);
  same(await texts(second, "assistant"), answer, "the second tab's");
  same([await texts(page, "user"), await texts(page, "note")], [["Tell me of the sea"], []], "what was asked");
  await page.reload();
  await answered(page, 300);
  await sleep(1000);
  same([await texts(page, "user"), await texts(page, "assistant")], [["Tell me of the sea"], answer], "after a reload");
  await shot(page, "example_end");
});

await attempt("stop, in every tab; and nobody else sees it", async () => {
  const { open, page } = await chat({ TPS: "25" });
  await ask(page, "Tell me of the sea");
  await answered(page, 40);
  const second = await open(page.url());
  await answered(second, 60);
  await page.click("#stop");
  await Promise.all([idle(page), idle(second)]);
  same([await texts(page, "note"), await texts(second, "note")], [["(stopped)"], ["(stopped)"]], "notes");
  await shot(page, "example_stopped");
  await page.reload();
  await answered(page, 40);
  same(await texts(page, "note"), ["(stopped)"], "the note after a reload");
  const stranger = await open(page.url(), await chromium.newContext());
  await sleep(1500);
  same([await texts(stranger, "user"), await texts(stranger, "assistant")], [[], []], "what a stranger sees");
});

await attempt("the server is killed and begins again", async () => {
  const { server, wire, begin, page } = await chat({ TPS: "15" });
  await ask(page, "Tell me of the sea");
  await answered(page, 200);
  server.kill("SIGKILL");
  const again = await begin();
  wire.to(again.port);
  await page.waitForFunction("document.querySelectorAll('main > .note').length", null, { timeout: 60_000 });
  same(await texts(page, "note"), ["The answer broke off."], "notes");
  const told = await texts(page, "assistant");
  await shot(page, "example_killed");
  // What was told before it was written is lost: the last moments.
  check(told.length === 1 && told[0].length >= 100, `what was told is gone: ${JSON.stringify(told)}`);
  await ask(page, "And again?");
  await answered(page, 40, 1);
});

process.exit(0);
