// The official TypeScript SDK with `manystream serve` between it and the service, as the SDK is for any program:
// it is only given another base URL. MANYSTREAM is the command; without it the SDK talks to the simulator itself.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { MODEL, OVERLOADED, RATE_LIMITED, holds, main, rejects, same, says, testCase } from "../programs/casebook.mjs";

const { MANYSTREAM } = process.env;
const SAYS = Array.from({ length: 60 }, (_, number) => `word${number}`).join(" ");
const RESET_BEFORE_CONTENT = { cut: { after: 0, how: "reset" } };
const THREE_FAILURES = [OVERLOADED, RATE_LIMITED, RESET_BEFORE_CONTENT];
const ASKED = { model: MODEL, max_tokens: 200, messages: says("Count") };
const textOf = (message) => message.content.map((block) => (block.type === "text" ? block.text : "")).join("");
const cutOf = (after, how) => ({ cut: { after, how, text: SAYS } });

// Starts the server for a simulator; resolves to its address once it tells it.
async function serving(simulator, options = []) {
  if (!MANYSTREAM) return { url: simulator.url, stop: async () => {} };
  const server = spawn(MANYSTREAM, ["serve", "--port", "0", "--base-url", simulator.url, ...options], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise((done) => server.on("exit", done));
  const said = [];
  const url = await new Promise((found, failed) => {
    for (const output of [server.stdout, server.stderr]) {
      createInterface({ input: output }).on("line", (line) => {
        said.push(line);
        const address = /https?:\/\/[\w.:[\]-]+/.exec(line)?.[0];
        if (address && address !== simulator.url) found(address);
      });
    }
    ended.then(() => failed(new Error(`it ended: ${said.join(" | ")}`)));
  });
  return { url, stop: async () => (server.kill("SIGTERM"), await ended) };
}

// A case with the SDK's client for a server of its own.
function overServe(name, run, settings = {}, options = []) {
  testCase(name, async (simulator) => {
    const server = await serving(simulator, options);
    try {
      await run(new Anthropic({ apiKey: "any", baseURL: server.url }), simulator, server.url);
    } finally {
      await server.stop();
    }
  }, settings);
}

// Reads a stream to its end; returns the text that came, and the error that it ended with, if any.
async function readAll(stream) {
  let text = "";
  try {
    for await (const event of await stream) {
      if (event.type === "content_block_delta") text += event.delta.text;
    }
  } catch (error) {
    return { text, error };
  }
  return { text };
}

overServe("a_message", async (client, simulator) => {
  await simulator.script(SAYS);
  const message = await client.messages.create(ASKED);
  same([textOf(message), message.stop_reason], [SAYS, "end_turn"]);
  const [request] = await simulator.messages();
  same([message.usage.input_tokens, message.usage.output_tokens], [request.input_tokens, request.output_tokens]);
});

overServe("a_stream_and_the_helper", async (client, simulator) => {
  await simulator.script(SAYS, SAYS);
  const kinds = [];
  for await (const event of await client.messages.create({ ...ASKED, stream: true })) kinds.push(event.type);
  same([kinds[0], kinds.at(-1)], ["message_start", "message_stop"]);
  let pieces = 0;
  const stream = client.messages.stream(ASKED).on("text", () => (pieces += 1));
  same(textOf(await stream.finalMessage()), SAYS);
  holds(pieces > 1, "several pieces");
});

overServe("the_tool_runner", async (client, simulator) => {
  await simulator.script(
    RESET_BEFORE_CONTENT, { tool_use: { name: "get_weather", input: { city: "Oslo" } } }, RESET_BEFORE_CONTENT, "It snows.",
  );
  const asked = [];
  const tool = betaTool({
    name: "get_weather",
    description: "Looks up the weather",
    inputSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    run: ({ city }) => (asked.push(city), "snow"),
  });
  const message = await client.beta.messages.toolRunner({ ...ASKED, tools: [tool] });
  same([textOf(message), asked], ["It snows.", ["Oslo"]]);
});

overServe("failures_before_content_are_unseen", async (client, simulator) => {
  await simulator.script(...THREE_FAILURES, SAYS, ...THREE_FAILURES, SAYS);
  const asked = { maxRetries: 0 };
  const { data, response } = await client.messages.create(ASKED, asked).withResponse();
  same([textOf(data), response.headers.get("manystream-attempts")], [SAYS, "4"]);
  const streamed = await client.messages.create({ ...ASKED, stream: true }, asked).withResponse();
  same(streamed.response.headers.get("manystream-attempts"), "4");
  same(await readAll(streamed.data), { text: SAYS });
  same((await simulator.messages()).length, 8);
});

overServe("a_cut_in_mid_stream_is_an_error", async (client, simulator) => {
  const places = ["end", "close", "reset", "garbage"].flatMap((how) => [2, 9, 15].map((after) => [after, how]));
  await simulator.script(...places.map(([after, how]) => cutOf(after, how)));
  for (const place of places) {
    const { text, error } = await readAll(client.messages.create({ ...ASKED, stream: true }));
    holds(error !== undefined, `${place}: a normal end after ${text}`);
    holds(error instanceof Anthropic.APIError, `${place}: ${error.constructor.name} is an APIError`);
    holds(text && SAYS.startsWith(text) && text !== SAYS, `${place}: ${text}`);
  }
  same((await simulator.messages()).length, places.length);
});

overServe("nor_does_the_helper_take_a_cut_for_an_end", async (client, simulator) => {
  await simulator.script(...["end", "close", "reset", "garbage"].map((how) => cutOf(9, how)));
  for (let count = 0; count < 4; count += 1) {
    await rejects(() => client.messages.stream(ASKED).finalMessage(), (error) => error instanceof Anthropic.APIError);
  }
});

overServe("an_error_within_a_stream", async (client, simulator) => {
  await simulator.script(cutOf(9, { status: 529 }));
  const { text, error } = await readAll(client.messages.create({ ...ASKED, stream: true }));
  holds(text, "some text came before");
  same([error instanceof Anthropic.APIError, error.type], [true, "overloaded_error"]);
});

overServe("an_answer_that_is_not_streamed_is_whole_after_cuts", async (client, simulator) => {
  await simulator.script(cutOf(9, "end"), cutOf(9, "reset"), cutOf(9, "close"), SAYS);
  const { data, response } = await client.messages.create(ASKED, { maxRetries: 0 }).withResponse();
  same([textOf(data), response.headers.get("manystream-attempts")], [SAYS, "4"]);
});

overServe("refusals_without_end_are_not_multiplied", async (client, simulator) => {
  await simulator.script(...Array.from({ length: 30 }, () => OVERLOADED));
  const headers = { "manystream-max-attempts": "2" };
  await rejects(
    () => client.messages.create(ASKED, { headers }),
    (error) => error instanceof Anthropic.InternalServerError && error.status === 529,
  );
  same((await simulator.messages()).length, 2);
});

overServe("labels_stay_here", async (client, simulator) => {
  await simulator.script(SAYS);
  const headers = { "manystream-group": "live", "manystream-priority": "5", "manystream-custom-id": "a" };
  await client.messages.create(ASKED, { headers });
  const [request] = await simulator.messages();
  same(Object.keys(request.headers).filter((name) => name.startsWith("manystream-")), []);
  await rejects(
    () => client.messages.create(ASKED, { headers: { "manystream-priority": "high" } }),
    (error) => error instanceof Anthropic.BadRequestError && error.message.includes("manystream-priority"),
  );
});

overServe("aborting_cancels_it", async (client, simulator) => {
  const stream = client.messages.stream({ ...ASKED, max_tokens: 1000 });
  stream.on("text", () => stream.abort());
  await rejects(() => stream.done(), (error) => error instanceof Anthropic.APIUserAbortError);
  await simulator.waitFor((requests) => requests[0].outcome === "disconnected");
}, { tokens_per_second: 20 });

overServe("aborting_before_the_head_cancels_it", async (client, simulator) => {
  const abort = new AbortController();
  const asked = client.messages.create(ASKED, { signal: abort.signal });
  await Promise.all([
    rejects(() => asked, (error) => error instanceof Anthropic.APIUserAbortError),
    simulator.waitFor((requests) => requests.length === 1).then(() => abort.abort()),
  ]);
  await simulator.waitFor((requests) => requests[0].outcome === "disconnected");
}, { time_to_first_token: 20 });

overServe("leaving_a_stream_cancels_it", async (client, simulator) => {
  for await (const event of await client.messages.create({ ...ASKED, max_tokens: 1000, stream: true })) {
    if (event.type === "content_block_delta") break;
  }
  await simulator.waitFor((requests) => requests[0].outcome === "disconnected");
}, { tokens_per_second: 20 });

overServe("many_at_once", async (client, simulator) => {
  await simulator.script(...Array.from({ length: 40 }, () => SAYS));
  const messages = await Promise.all(Array.from({ length: 40 }, () => client.messages.create(ASKED)));
  same(messages.map(textOf), Array.from({ length: 40 }, () => SAYS));
}, { time_to_first_token: 0.05 });

overServe("what_is_no_request_for_a_message_passes_through", async (client, simulator) => {
  const { max_tokens: _, ...question } = ASKED;
  holds((await client.messages.countTokens(question)).input_tokens > 0, "a count");
  const models = [];
  for await (const model of client.models.list({ limit: 2 })) models.push(model.id);
  holds(models.includes(MODEL), "the model");
  same((await simulator.messages()).length, 0);
});

overServe("a_wrong_key", async (_, simulator, url) => {
  const client = new Anthropic({ apiKey: "invalid", baseURL: url });
  const error = await rejects(() => client.messages.create(ASKED), (error) => error instanceof Anthropic.AuthenticationError);
  same([error.status, error.type], [401, "authentication_error"]);
});

await main();
