// Every run, by AG-UI's own client: it verifies the order of events, and warns of what it can't apply.
import { readFileSync } from "node:fs";
import { HttpAgent } from "@ag-ui/client";
import { attempt, same } from "./telling.mjs";

const streams = JSON.parse(readFileSync(process.argv[2], "utf8"));
const headers = { "content-type": "text/event-stream; charset=utf-8" };
const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));
console.error = () => {};

for (const { name, sent, text, error } of streams) {
  await attempt(name, async () => {
    const body = `: stream-open\n\n: keep-alive\n\n${sent}`;
    const fetch = async () => new Response(body, { headers });
    const agent = new HttpAgent({ url: "http://relay.test/", threadId: "thread", fetch });
    agent.setMessages([{ id: "u", role: "user", content: "hi" }]);
    let told = null;
    let failed = null;
    let voided = [];
    warnings.length = 0;
    await agent
      .runAgent(
        { runId: "run" },
        {
          onRunErrorEvent: ({ event }) => void (told = event.message),
          onRunFailed: ({ error }) => void (failed = error.message),
          onCustomEvent: ({ event }) => {
            if (event.name === "manystream.restart") voided = [...voided, ...event.value.messageIds];
          },
        },
      )
      .catch((error) => (failed ??= error.message));
    same(told, error, "the run's error");
    if (told === null) same(failed, null, "the client's error");
    same(warnings, [], "the client's warnings");
    const answers = agent.messages.filter((message) => message.role === "assistant" && !voided.includes(message.id));
    if (text !== null) same(answers.map((message) => message.content ?? "").join(""), text, "the text");
  });
}
process.exit(0);
