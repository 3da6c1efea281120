// Our own events in a browser: an `EventSource` through cuts of the network, a reload and a second tab.
import { browser, network, serve, shot, sleep } from "./setting.mjs";
import { attempt, check, same } from "./telling.mjs";

const server = await serve({ TPS: "20" });
const wire = await network(server.port);
const chromium = await browser();
const context = await chromium.newContext();
const base = `http://127.0.0.1:${wire.port}`;
const seen = (page) => page.evaluate("seen");
const ended = (page) => page.waitForFunction("seen.ended", null, { timeout: 60_000 });

async function whole(id) {
  const sent = await (await fetch(`http://127.0.0.1:${server.port}/native/${id}/stream`)).text();
  const frames = sent.split("\n\n").flatMap((frame) => frame.split("\n").filter((line) => line.startsWith("data: ")));
  return frames.map((line) => JSON.parse(line.slice(6)).text ?? "").join("");
}

await attempt("two cuts, a reload and a second tab: nothing lacks, nothing twice", async () => {
  const page = await context.newPage();
  await page.goto(`${base}/events.html`);
  await page.waitForFunction("seen.text.length > 40");
  const id = await page.evaluate("id");
  wire.cut();
  await sleep(300);
  const second = await context.newPage();
  await second.goto(`${base}/events.html?id=${id}`);
  const opened = (count) => page.waitForFunction(`seen.opens >= ${count}`, null, { timeout: 30_000 });
  await opened(2); // a browser comes again after some seconds
  wire.refuse(true);
  await sleep(1000);
  wire.refuse(false);
  await opened(3);
  await second.reload();
  await second.waitForFunction("seen.text.length > 80");
  await shot(second, "events");
  await Promise.all([ended(page), ended(second)]);
  const [first, other, all] = [await seen(page), await seen(second), await whole(id)];
  check(first.opens >= 3, `opened ${first.opens} times`);
  same([first.gaps, first.resets, other.gaps, other.resets], [0, 0, 0, 0], "gaps and resets");
  same(first.ended.state, "complete", "the ending");
  check(all.length > 300, `a short answer: ${all.length}`);
  same(first.text, all, "the first tab's text");
  same(other.text, all, "the second tab's text");
  await shot(page, "events_end");
});

await attempt("a tab that stays after the end does not come again and again", async () => {
  const page = await context.newPage();
  await page.goto(`${base}/events.html`);
  await page.waitForFunction("window.id");
  const id = await page.evaluate("id");
  const staying = await context.newPage();
  await staying.goto(`${base}/events.html?stay&id=${id}`);
  await ended(staying);
  await staying.waitForFunction("source.readyState === EventSource.CLOSED", null, { timeout: 15_000 });
  same((await seen(staying)).gaps, 0, "gaps");
});

await attempt("a stream that is not there", async () => {
  const page = await context.newPage();
  await page.goto(`${base}/events.html?id=ms-00000000-0000000000000000000000`);
  await page.waitForFunction("window.source?.readyState === EventSource.CLOSED", null, { timeout: 10_000 });
});

await attempt("stopped: every tab is told", async () => {
  const page = await context.newPage();
  await page.goto(`${base}/events.html`);
  await page.waitForFunction("seen.text.length > 20");
  const id = await page.evaluate("id");
  const stopped = await page.evaluate("fetch(`/native/${id}/stop`, { method: 'POST' }).then((got) => got.status)");
  same(stopped, 204, "the status");
  await ended(page);
  same((await seen(page)).ended.state, "cancelled", "the ending");
});

process.exit(0);
