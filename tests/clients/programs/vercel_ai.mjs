// The Vercel AI SDK, `ai`, with its provider `@ai-sdk/anthropic`.
import { createAnthropic } from "@ai-sdk/anthropic";
import {
  APICallError, Output, RetryError, generateObject, generateText, jsonSchema, stepCountIs, streamObject,
  streamText, tool,
} from "ai";
import { z } from "zod";
import {
  BROKEN_MIDWAY, MODEL, OLDER, OVERLOADED, PIXEL, RATE_LIMITED, TWO_CALLS, holds, main, rejects, same, testCase,
} from "./casebook.mjs";

const Person = z.object({ name: z.string(), age: z.number().int(), languages: z.array(z.string()) });
const model = (simulator, name = MODEL, apiKey = "any") =>
  createAnthropic({ apiKey, baseURL: `${simulator.url}/v1` })(name);

const weather = (simulator, asked) => ({
  get_weather: tool({
    description: "Looks up the weather",
    inputSchema: z.object({ city: z.string(), unit: z.enum(["C", "F"]) }),
    execute: async ({ city, unit }) => {
      asked.push([typeof city, ["C", "F"].includes(unit)]);
      await simulator.script("It is sunny.");
      return { sky: "sunny" };
    },
  }),
});

testCase("a_generated_text", async (simulator) => {
  await simulator.script("Paris is the capital.");
  const { text, finishReason, usage } = await generateText({ model: model(simulator), prompt: "Capital of France?" });
  same([text, finishReason], ["Paris is the capital.", "stop"]);
  const [request] = await simulator.messages();
  same([usage.inputTokens, usage.outputTokens], [request.input_tokens, request.output_tokens]);
});

testCase("a_system_prompt_and_several_turns", async (simulator) => {
  await simulator.script("Blue.");
  const { text } = await generateText({
    model: model(simulator),
    system: "Be brief.",
    messages: [
      { role: "user", content: "My colour is blue." },
      { role: "assistant", content: "Noted." },
      { role: "user", content: "Which is it?" },
    ],
  });
  same(text, "Blue.");
  const { json } = (await simulator.messages())[0];
  same([json.system[0].text, json.messages.length], ["Be brief.", 3]);
});

testCase("an_image_and_a_document", async (simulator) => {
  await simulator.script("A pixel.");
  const { text } = await generateText({
    model: model(simulator),
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "What do you see?" },
          { type: "image", image: Buffer.from(PIXEL, "base64"), mediaType: "image/png" },
          { type: "file", data: Buffer.from("The sky is green."), mediaType: "text/plain" },
        ],
      },
    ],
  });
  same(text, "A pixel.");
  const [question] = (await simulator.messages())[0].json.messages;
  same(question.content.map((block) => block.type), ["text", "image", "document"]);
});

testCase("a_streamed_text", async (simulator) => {
  await simulator.script("one two three four five");
  const result = streamText({ model: model(simulator), prompt: "Count" });
  let text = "";
  for await (const piece of result.textStream) text += piece;
  same([text, await result.text, await result.finishReason], ["one two three four five", "one two three four five", "stop"]);
  same((await result.usage).outputTokens, (await simulator.messages())[0].output_tokens);
});

testCase("aborting_a_stream_cancels_it", async (simulator) => {
  const stop = new AbortController();
  const result = streamText({
    model: model(simulator), prompt: "A long story", maxOutputTokens: 1000, abortSignal: stop.signal,
  });
  const kinds = [];
  for await (const part of result.fullStream) {
    kinds.push(part.type);
    if (part.type === "text-delta") stop.abort();
  }
  same(kinds.at(-1), "abort");
  await simulator.waitFor((requests) => requests[0].outcome === "disconnected");
}, { tokens_per_second: 20 });

testCase("tools_in_several_steps", async (simulator) => {
  const asked = [];
  const { text, steps } = await generateText({
    model: model(simulator), prompt: "What is the weather?", tools: weather(simulator, asked), stopWhen: stepCountIs(5),
  });
  same([text, steps.length, asked], ["It is sunny.", 2, [["string", true]]]);
  same(steps[0].toolResults[0].output, { sky: "sunny" });
});

testCase("tools_in_several_streamed_steps", async (simulator) => {
  const asked = [];
  const result = streamText({
    model: model(simulator), prompt: "What is the weather?", tools: weather(simulator, asked), stopWhen: stepCountIs(5),
  });
  const kinds = new Set();
  let arguments_ = "";
  for await (const part of result.fullStream) {
    kinds.add(part.type);
    if (part.type === "tool-input-delta") arguments_ += part.delta;
  }
  same([(await result.steps).length, asked], [2, [["string", true]]]);
  same((await result.steps).at(-1).text, "It is sunny.");
  holds(kinds.has("tool-call") && kinds.has("tool-result"), "a tool was called");
  same(Object.keys(JSON.parse(arguments_)), ["city", "unit"]);
});

testCase("a_tool_that_must_be_called", async (simulator) => {
  const { toolCalls, finishReason } = await generateText({
    model: model(simulator, OLDER),
    prompt: "Go on",
    tools: { note: tool({ description: "Notes it", inputSchema: z.object({ line: z.string() }) }) },
    toolChoice: "required",
  });
  same([toolCalls.map((call) => call.toolName), finishReason], [["note"], "tool-calls"]);
  same(typeof toolCalls[0].input.line, "string");
});

testCase("two_calls_after_a_thought", async (simulator) => {
  await simulator.script(TWO_CALLS, "Rain and snow.");
  const asked = [];
  const { text, steps } = await generateText({
    model: model(simulator), prompt: "And in Köln and Oslo?", stopWhen: stepCountIs(5), maxOutputTokens: 2000,
    providerOptions: { anthropic: { thinking: { type: "adaptive" } } },
    tools: {
      get_weather: tool({
        description: "Looks up the weather",
        inputSchema: z.object({ city: z.string(), days: z.number().int() }),
        execute: async ({ city, days }) => (asked.push([city, days]), "done"),
      }),
    },
  });
  same([text, steps.length, asked.sort()], ["Rain and snow.", 2, [["Köln", 2], ["Oslo", 7]]]);
  const reply = (await simulator.messages())[1].json.messages[1];
  same(reply.content.map((block) => block.type), ["thinking", "text", "tool_use", "tool_use"]);
});

testCase("the_tools_that_the_api_defines", async (simulator) => {
  const { tools } = createAnthropic({ apiKey: "any", baseURL: `${simulator.url}/v1` });
  const commands = [];
  const { steps } = await generateText({
    model: model(simulator), prompt: "Look into your memory", stopWhen: stepCountIs(3),
    tools: { memory: tools.memory_20250818({ execute: async (input) => (commands.push(input.command), "done") }) },
  });
  same([steps.length, commands.length, typeof commands[0]], [2, 1, "string"]);
});

testCase("a_web_search", async (simulator) => {
  const { tools } = createAnthropic({ apiKey: "any", baseURL: `${simulator.url}/v1` });
  const { sources, text } = await generateText({
    model: model(simulator), prompt: "Search the web, please", maxOutputTokens: 500,
    tools: { web_search: tools.webSearch_20250305() },
  });
  holds(sources.length > 0 && sources.every((source) => source.url), "its sources");
  holds(text, "it answered");
});

testCase("thinking", async (simulator) => {
  const { reasoningText, text } = await generateText({
    model: model(simulator, OLDER),
    prompt: "Think about rivers",
    maxOutputTokens: 2000,
    providerOptions: { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } },
  });
  holds(reasoningText && text, "it thought, and answered");
});

testCase("adaptive_thinking_in_a_stream", async (simulator) => {
  const result = streamText({
    model: model(simulator),
    prompt: "Think about rivers",
    maxOutputTokens: 2000,
    providerOptions: { anthropic: { thinking: { type: "adaptive", display: "summarized" } } },
  });
  let thought = "";
  for await (const part of result.fullStream) if (part.type === "reasoning-delta") thought += part.text;
  holds(thought, "it thought");
  same(await result.reasoningText, thought);
  holds(await result.text, "it answered");
});

testCase("a_generated_object", async (simulator) => {
  const { object } = await generateObject({ model: model(simulator), schema: Person, prompt: "A person, please" });
  same(Person.parse(object), object);
});

testCase("a_generated_object_of_an_older_model", async (simulator) => {
  const { object } = await generateObject({
    model: model(simulator, "claude-haiku-4-5"), schema: Person, prompt: "A person, please",
    providerOptions: { anthropic: { structuredOutputMode: "jsonTool" } },
  });
  same(Person.parse(object), object);
});

testCase("a_streamed_object", async (simulator) => {
  const result = streamObject({ model: model(simulator), schema: Person, prompt: "A person, please" });
  let last;
  for await (const partial of result.partialObjectStream) last = partial;
  same(Person.parse(last), await result.object);
});

testCase("an_output_of_generateText", async (simulator) => {
  const { output } = await generateText({
    model: model(simulator), prompt: "A person, please", output: Output.object({ schema: Person }),
  });
  same(Person.parse(output), output);
});

testCase("an_output_by_a_json_schema", async (simulator) => {
  const schema = jsonSchema({
    type: "object",
    properties: { verdict: { type: "string", enum: ["yes", "no"] } },
    required: ["verdict"],
    additionalProperties: false,
  });
  const { object } = await generateObject({ model: model(simulator), schema, prompt: "Judge it" });
  holds(["yes", "no"].includes(object.verdict), "a verdict of the schema");
});

testCase("a_temperature", async (simulator) => {
  await simulator.script("Hello.");
  const { text } = await generateText({ model: model(simulator, OLDER), prompt: "Hi", temperature: 0.5 });
  same([text, (await simulator.messages())[0].json.temperature], ["Hello.", 0.5]);
});

testCase("a_wrong_key", async (simulator) => {
  const error = await rejects(
    () => generateText({ model: model(simulator, MODEL, "invalid"), prompt: "Hi" }),
    (error) => APICallError.isInstance(error),
  );
  same([error.statusCode, error.isRetryable], [401, false]);
  same(error.message, "invalid x-api-key");
});

testCase("refusals_are_retried", async (simulator) => {
  await simulator.script(RATE_LIMITED, OVERLOADED, "At last.");
  const { text } = await generateText({ model: model(simulator), prompt: "Hi" });
  same(text, "At last.");
  same((await simulator.messages()).map((request) => request.status), [429, 529, 200]);
});

testCase("refusals_without_end", async (simulator) => {
  await simulator.script(OVERLOADED, OVERLOADED);
  const error = await rejects(
    () => generateText({ model: model(simulator), prompt: "Hi", maxRetries: 1 }),
    (error) => RetryError.isInstance(error),
  );
  same([error.lastError.statusCode, error.errors.length], [529, 2]);
});

testCase("an_error_within_a_stream", async (simulator) => {
  await simulator.script(BROKEN_MIDWAY);
  const result = streamText({ model: model(simulator), prompt: "Count", onError: () => {} });
  let text = "";
  const errors = [];
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") text += part.text;
    if (part.type === "error") errors.push(part.error);
  }
  holds(text, "some text came before");
  same(errors.length, 1);
  holds(/overloaded/i.test(JSON.stringify(errors[0]) + String(errors[0])), "what the error says");
});

testCase("a_tool_for_the_caller_to_run", async (simulator) => {
  const { content } = await generateText({
    model: model(simulator),
    prompt: "What is the weather?",
    tools: { get_weather: tool({ description: "Looks up", inputSchema: z.object({ city: z.string() }) }) },
  });
  const [call] = content.filter((part) => part.type === "tool-call");
  same([call.toolName, typeof call.input.city], ["get_weather", "string"]);
});

await main();
