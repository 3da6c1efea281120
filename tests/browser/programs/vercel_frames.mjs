// Every frame of every stream, by ai's own schema, and the message that its own reader makes of them.
import { readFileSync } from "node:fs";
import { readUIMessageStream, uiMessageChunkSchema } from "ai";
import { attempt, check, same } from "./telling.mjs";

const schema = uiMessageChunkSchema();
const streams = JSON.parse(readFileSync(process.argv[2], "utf8"));
const counts = { chunks: 0 };

async function chunksOf(sent) {
  const chunks = [];
  for (const frame of sent.split("\n\n").slice(0, -1)) {
    if (frame === "data: [DONE]") continue;
    const read = await schema.validate(JSON.parse(frame.slice("data: ".length)));
    check(read.success, `${frame.slice(0, 300)}: ${read.error?.message}`);
    chunks.push(read.value);
    counts.chunks += 1;
  }
  return chunks;
}

async function messageOf(chunks) {
  const stream = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  let last;
  let error;
  for await (const message of readUIMessageStream({ stream, onError: (found) => (error = found) })) last = message;
  return { message: last, error };
}

for (const { name, sent, text } of streams) {
  await attempt(name, async () => {
    const chunks = await chunksOf(sent);
    const told = chunks.find((chunk) => chunk.type === "error")?.errorText;
    const { message, error } = await messageOf(chunks);
    same(error?.message, told, "the reader's error");
    const texts = (message?.parts ?? []).filter((part) => part.type === "text");
    check(texts.every((part) => part.state === "done"), "a text is left open");
    if (text !== null) same(texts.map((part) => part.text).join(""), text, "the text");
  });
}
await attempt("chunks were read", () => check(counts.chunks > 1000, `${counts.chunks} chunks`));
