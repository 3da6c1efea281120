// A worker as the AI SDK's guide to resumable streams has it: `resumable-stream` over Redis. The words are not a model's.
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { createUIMessageStream, createUIMessageStreamResponse, generateId, UI_MESSAGE_STREAM_HEADERS } from "ai";
import { createClient } from "redis";
import { createResumableStreamContext } from "resumable-stream";

const pieces = process.env.TEXT.split(/(?<= )/);
const pause = 1000 / Number(process.env.PACE);
const chats = createClient({ url: process.env.REDIS_URL });
await chats.connect();
const context = createResumableStreamContext({ waitUntil: (work) => void work.catch(() => {}) });

async function answer(chat) {
  const stream = createUIMessageStream({
    async execute({ writer }) {
      writer.write({ type: "text-start", id: "0" });
      for (const delta of pieces) {
        await new Promise((done) => setTimeout(done, pause));
        writer.write({ type: "text-delta", id: "0", delta });
      }
      writer.write({ type: "text-end", id: "0" });
    },
    onEnd: () => chats.del(chat),
  });
  return createUIMessageStreamResponse({
    stream,
    async consumeSseStream({ stream }) {
      const id = generateId();
      await context.createNewResumableStream(id, () => stream);
      await chats.set(chat, id);
    },
  });
}

async function resume(chat) {
  const id = await chats.get(chat);
  const stream = id && (await context.resumeExistingStream(id));
  return stream ? new Response(stream.pipeThrough(new TextEncoderStream()), { headers: UI_MESSAGE_STREAM_HEADERS }) : new Response(null, { status: 204 });
}

const server = createServer(async (request, response) => {
  const [, chat] = request.url.split("/");
  const given = await (request.method === "POST" ? answer(chat) : resume(chat)).catch(() => new Response(null, { status: 500 }));
  response.writeHead(given.status, Object.fromEntries(given.headers));
  response.flushHeaders();
  if (given.body) Readable.fromWeb(given.body).on("error", () => response.destroy()).pipe(response);
  else response.end();
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
