// The official TypeScript SDK, `@anthropic-ai/sdk`.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { betaMemoryTool } from "@anthropic-ai/sdk/helpers/beta/memory";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import { z } from "zod";
import {
  BROKEN_MIDWAY, MODEL, OLDER, OVERLOADED, PIXEL, RATE_LIMITED, TWO_CALLS, holds, main, rejects, same, says, testCase,
} from "./casebook.mjs";

const client = (simulator, options = {}) => new Anthropic({ apiKey: "any", baseURL: simulator.url, ...options });
const textOf = (message) => message.content.map((block) => (block.type === "text" ? block.text : "")).join("");
const Person = z.object({ name: z.string(), age: z.number().int(), languages: z.array(z.string()) });
const WEATHER = {
  name: "get_weather",
  description: "Looks up the weather",
  input_schema: {
    type: "object",
    properties: { city: { type: "string" }, unit: { enum: ["C", "F"] } },
    required: ["city", "unit"],
  },
};

testCase("a_plain_answer", async (simulator) => {
  await simulator.script("Paris is the capital.");
  const message = await client(simulator).messages.create({
    model: MODEL, max_tokens: 50, messages: says("Capital of France?"),
  });
  same(textOf(message), "Paris is the capital.");
  same([message.stop_reason, message.model], ["end_turn", MODEL]);
  holds(message._request_id.startsWith("req_"), "a request id");
  const [request] = await simulator.messages();
  same([message.usage.input_tokens, message.usage.output_tokens], [request.input_tokens, request.output_tokens]);
});

testCase("a_system_prompt_and_several_turns", async (simulator) => {
  await simulator.script("Blue.");
  const message = await client(simulator).messages.create({
    model: MODEL, max_tokens: 50, system: "Be brief.",
    messages: [...says("My colour is blue."), { role: "assistant", content: "Noted." }, ...says("Which is it?")],
  });
  same(textOf(message), "Blue.");
  same((await simulator.messages())[0].json.system, "Be brief.");
});

testCase("an_image_and_a_document", async (simulator) => {
  await simulator.script("A pixel.");
  const content = [
    { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } },
    { type: "document", source: { type: "text", media_type: "text/plain", data: "The sky is green." } },
    { type: "text", text: "What do you see?" },
  ];
  const message = await client(simulator).messages.create({
    model: MODEL, max_tokens: 50, messages: [{ role: "user", content }],
  });
  same(textOf(message), "A pixel.");
});

testCase("the_raw_events_of_a_stream", async (simulator) => {
  await simulator.script("one two three");
  const kinds = [];
  let text = "";
  const stream = await client(simulator).messages.create({
    model: MODEL, max_tokens: 50, messages: says("Count"), stream: true,
  });
  for await (const event of stream) {
    kinds.push(event.type);
    if (event.type === "content_block_delta") text += event.delta.text;
  }
  same([text, kinds[0], kinds.at(-1)], ["one two three", "message_start", "message_stop"]);
});

testCase("the_stream_helper", async (simulator) => {
  await simulator.script("one two three");
  let text = "";
  const stream = client(simulator)
    .messages.stream({ model: MODEL, max_tokens: 50, messages: says("Count") })
    .on("text", (piece) => (text += piece));
  const message = await stream.finalMessage();
  same([text, textOf(message)], ["one two three", "one two three"]);
  same(message.usage.output_tokens, (await simulator.messages())[0].output_tokens);
});

testCase("a_tool_call_in_a_stream", async (simulator) => {
  const stream = client(simulator).messages.stream({
    model: MODEL, max_tokens: 500, tools: [WEATHER], messages: says("What is the weather?"),
  });
  let json = "";
  stream.on("inputJson", (piece) => (json += piece));
  const message = await stream.finalMessage();
  const [call] = message.content.filter((block) => block.type === "tool_use");
  same(JSON.parse(json), call.input);
  holds(["C", "F"].includes(call.input.unit), "a unit of the schema");
  same(message.stop_reason, "tool_use");
});

testCase("adaptive_thinking", async (simulator) => {
  let thought = "";
  const message = await client(simulator)
    .messages.stream({
      model: MODEL, max_tokens: 2000, thinking: { type: "adaptive", display: "summarized" },
      messages: says("Think of rivers"),
    })
    .on("thinking", (piece) => (thought += piece))
    .finalMessage();
  same([message.content[0].type, message.content[0].thinking], ["thinking", thought]);
  holds(message.content[0].signature, "a signature");
});

testCase("a_thinking_budget_of_an_older_model", async (simulator) => {
  const message = await client(simulator).messages.create({
    model: OLDER, max_tokens: 3000, thinking: { type: "enabled", budget_tokens: 1024 }, messages: says("Think"),
  });
  same(message.content.map((block) => block.type), ["thinking", "text"]);
});

testCase("aborting_a_stream_cancels_it", async (simulator) => {
  const stream = client(simulator).messages.stream({
    model: MODEL, max_tokens: 1000, messages: says("A long story"),
  });
  stream.on("text", () => stream.abort());
  await rejects(() => stream.done(), (error) => error instanceof Anthropic.APIUserAbortError);
  await simulator.waitFor((requests) => requests[0].outcome === "disconnected");
}, { tokens_per_second: 20 });

testCase("the_tool_loop_by_hand", async (simulator) => {
  const sdk = client(simulator);
  const asked = { model: MODEL, max_tokens: 500, tools: [WEATHER] };
  const first = await sdk.messages.create({ ...asked, messages: says("What is the weather?") });
  const [call] = first.content.filter((block) => block.type === "tool_use");
  await simulator.script("It is sunny.");
  const second = await sdk.messages.create({
    ...asked,
    messages: [
      ...says("What is the weather?"),
      { role: "assistant", content: first.content },
      { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "sunny" }] },
    ],
  });
  same(textOf(second), "It is sunny.");
});

const weather = (simulator, asked) =>
  betaZodTool({
    name: "get_weather",
    description: "Looks up the weather",
    inputSchema: z.object({ city: z.string(), days: z.number().int() }),
    run: async ({ city, days }) => {
      asked.push([typeof city, typeof days]);
      await simulator.script("It is sunny.");
      return "sunny";
    },
  });

async function checkWeather(simulator, asked) {
  same(asked, [["string", "number"]]);
  const last = (await simulator.messages()).at(-1);
  same([last.status, last.json.messages.at(-1).content[0].type], [200, "tool_result"]);
}

testCase("the_tool_runner", async (simulator) => {
  const asked = [];
  const message = await client(simulator).beta.messages.toolRunner({
    model: MODEL, max_tokens: 500, tools: [weather(simulator, asked)], messages: says("What is the weather?"),
  });
  same(textOf(message), "It is sunny.");
  await checkWeather(simulator, asked);
});

testCase("the_tool_runner_message_by_message", async (simulator) => {
  const asked = [];
  const reasons = [];
  for await (const message of client(simulator).beta.messages.toolRunner({
    model: MODEL, max_tokens: 500, tools: [weather(simulator, asked)], messages: says("What is the weather?"),
  })) {
    reasons.push(message.stop_reason);
  }
  same(reasons, ["tool_use", "end_turn"]);
  await checkWeather(simulator, asked);
});

testCase("the_tool_runner_streaming", async (simulator) => {
  const asked = [];
  let text = "";
  for await (const stream of client(simulator).beta.messages.toolRunner({
    model: MODEL, max_tokens: 500, stream: true, tools: [weather(simulator, asked)],
    messages: says("What is the weather?"),
  })) {
    text = "";
    for await (const event of stream) {
      if (event.type === "content_block_delta" && event.delta.type === "text_delta") text += event.delta.text;
    }
  }
  same(text, "It is sunny.");
  await checkWeather(simulator, asked);
});

testCase("two_calls_after_a_thought", async (simulator) => {
  await simulator.script(TWO_CALLS, "Rain and snow.");
  const asked = [];
  const tool = betaZodTool({
    name: "get_weather",
    description: "Looks up the weather",
    inputSchema: z.object({ city: z.string(), days: z.number().int() }),
    run: ({ city, days }) => (asked.push([city, days]), "done"),
  });
  const message = await client(simulator).beta.messages.toolRunner({
    model: MODEL, max_tokens: 2000, thinking: { type: "adaptive" }, tools: [tool],
    messages: says("And in Köln and Oslo?"),
  });
  same([textOf(message), asked.sort()], ["Rain and snow.", [["Köln", 2], ["Oslo", 7]]]);
});

testCase("the_tool_runner_with_a_schema_by_hand", async (simulator) => {
  const asked = [];
  const tool = betaTool({
    name: "get_weather",
    description: "Looks up the weather",
    inputSchema: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" } },
      required: ["city", "days"],
    },
    run: async ({ city, days }) => {
      asked.push([typeof city, typeof days]);
      await simulator.script("It is sunny.");
      return "sunny";
    },
  });
  const runner = client(simulator).beta.messages.toolRunner({
    model: MODEL, max_tokens: 500, tools: [tool], messages: says("What is the weather?"),
  });
  same(textOf(await runner.runUntilDone()), "It is sunny.");
  await checkWeather(simulator, asked);
});

testCase("the_memory_tool_in_the_tool_runner", async (simulator) => {
  const commands = [];
  const handler = async (command) => (commands.push(command.command), "done");
  const names = ["view", "create", "str_replace", "insert", "delete", "rename"];
  const message = await client(simulator).beta.messages.toolRunner({
    model: MODEL, max_tokens: 500, messages: says("Look into your memory"),
    tools: [betaMemoryTool(Object.fromEntries(names.map((name) => [name, handler])))],
  });
  same(message.stop_reason, "end_turn");
  same(commands.length, 1);
  holds(names.includes(commands[0]), "a command of the memory");
});

testCase("a_web_search", async (simulator) => {
  const message = await client(simulator)
    .messages.stream({
      model: MODEL, max_tokens: 500, messages: says("Search the web, please"),
      tools: [{ type: "web_search_20250305", name: "web_search" }],
    })
    .finalMessage();
  same(message.content.slice(0, 2).map((block) => block.type), ["server_tool_use", "web_search_tool_result"]);
  same(message.usage.server_tool_use.web_search_requests, 1);
});

testCase("a_thread_of_messages", async (simulator) => {
  await simulator.script("Noted.", "Blue.");
  const thread = client(simulator).beta.messages.thread({
    model: MODEL, max_tokens: 50, system: "Be brief.", unsupportedRequestBehavior: "continue_unthreaded",
  });
  same(textOf(await thread.send({ role: "user", content: "My colour is blue." })), "Noted.");
  same(textOf(await thread.send({ role: "user", content: "Which is it?" })), "Blue.");
  // The service keeps no threads, so all is sent again.
  same((await simulator.messages()).at(-1).json.messages.length, 3);
});

testCase("a_parsed_answer", async (simulator) => {
  const message = await client(simulator).messages.parse({
    model: MODEL, max_tokens: 500, messages: says("A person, please"),
    output_config: { format: zodOutputFormat(Person) },
  });
  same(Person.parse(JSON.parse(textOf(message))), message.parsed_output);
});

testCase("a_parsed_stream", async (simulator) => {
  const message = await client(simulator)
    .messages.stream({
      model: MODEL, max_tokens: 500, messages: says("A person, please"),
      output_config: { format: zodOutputFormat(Person) },
    })
    .finalMessage();
  same(Person.parse(JSON.parse(textOf(message))), message.parsed_output);
});

testCase("a_parsed_answer_by_a_json_schema", async (simulator) => {
  const format = jsonSchemaOutputFormat({
    type: "object",
    properties: { verdict: { type: "string", enum: ["yes", "no"] } },
    required: ["verdict"],
    additionalProperties: false,
  });
  const message = await client(simulator).messages.parse({
    model: MODEL, max_tokens: 500, messages: says("Judge it"), output_config: { format },
  });
  holds(["yes", "no"].includes(message.parsed_output.verdict), "a verdict of the schema");
});

testCase("tokens_are_counted", async (simulator) => {
  const sdk = client(simulator);
  const question = { model: MODEL, system: "Be brief.", messages: says("How long is this?") };
  const counted = await sdk.messages.countTokens(question);
  const answered = await sdk.messages.create({ ...question, max_tokens: 5 });
  same(counted.input_tokens, answered.usage.input_tokens);
});

testCase("models_come_in_pages", async (simulator) => {
  const sdk = client(simulator);
  const [whole, paged] = [[], []];
  for await (const model of sdk.models.list({ limit: 1000 })) whole.push(model.id);
  for await (const model of sdk.models.list({ limit: 2 })) paged.push(model.id);
  same(paged, whole);
  holds((await simulator.requests()).length > 2, "several pages");
  same((await sdk.models.retrieve(MODEL)).id, MODEL);
});

testCase("a_batch_from_its_creation_to_its_results", async (simulator) => {
  const batches = client(simulator).messages.batches;
  const requests = [0, 1, 2].map((number) => ({
    custom_id: `question-${number}`,
    params: { model: MODEL, max_tokens: 20, messages: says(`Question ${number}`) },
  }));
  const batch = await batches.create({ requests });
  same(batch.processing_status, "in_progress");
  await simulator.waitFor(async () => (await batches.retrieve(batch.id)).processing_status === "ended", 20);
  const found = [];
  for await (const result of await batches.results(batch.id)) found.push([result.custom_id, result.result.type]);
  same(found.sort(), requests.map((request) => [request.custom_id, "succeeded"]));
});

testCase("a_wrong_key", async (simulator) => {
  const error = await rejects(
    () => client(simulator, { apiKey: "invalid" }).messages.create({ model: MODEL, max_tokens: 5, messages: says("Hi") }),
    (error) => error instanceof Anthropic.AuthenticationError,
  );
  same([error.status, error.type], [401, "authentication_error"]);
});

testCase("refusals_are_retried", async (simulator) => {
  await simulator.script(RATE_LIMITED, OVERLOADED, "At last.");
  const message = await client(simulator).messages.create({ model: MODEL, max_tokens: 20, messages: says("Hi") });
  same(textOf(message), "At last.");
  same((await simulator.messages()).map((request) => request.status), [429, 529, 200]);
});

testCase("refusals_without_end", async (simulator) => {
  await simulator.script(429, 529);
  const sdk = client(simulator, { maxRetries: 0 });
  const ask = () => sdk.messages.create({ model: MODEL, max_tokens: 20, messages: says("Hi") });
  const limited = await rejects(ask, (error) => error instanceof Anthropic.RateLimitError);
  same([limited.status, limited.type], [429, "rate_limit_error"]);
  const overloaded = await rejects(ask, (error) => error instanceof Anthropic.InternalServerError);
  same([overloaded.status, overloaded.type], [529, "overloaded_error"]);
});

testCase("an_invalid_request", async (simulator) => {
  const error = await rejects(
    () => client(simulator).messages.create({ model: MODEL, max_tokens: 20, messages: [] }),
    (error) => error instanceof Anthropic.BadRequestError,
  );
  same(error.type, "invalid_request_error");
});

testCase("an_error_within_a_stream", async (simulator) => {
  await simulator.script(BROKEN_MIDWAY);
  let text = "";
  const stream = client(simulator)
    .messages.stream({ model: MODEL, max_tokens: 50, messages: says("Count") })
    .on("text", (piece) => (text += piece));
  const error = await rejects(() => stream.finalMessage(), (error) => error instanceof Anthropic.APIError);
  holds(text, "some text came before");
  same(error.type, "overloaded_error");
});

testCase("a_connection_that_is_reset", async (simulator) => {
  await simulator.script({ cut: { after: 2, how: "reset", text: "one two three four" } });
  const stream = client(simulator).messages.stream({ model: MODEL, max_tokens: 50, messages: says("Count") });
  await rejects(() => stream.finalMessage(), (error) => error instanceof Error);
});

testCase("a_timeout", async (simulator) => {
  await simulator.script({ stall: { after: "nothing" } });
  await rejects(
    () =>
      client(simulator, { maxRetries: 0, timeout: 300 }).messages.create({
        model: MODEL, max_tokens: 20, messages: says("Hi"),
      }),
    (error) => error instanceof Anthropic.APIConnectionTimeoutError,
  );
});

await main();
