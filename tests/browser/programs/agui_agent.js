// AG-UI's own client. It can't resume; one that asks for the stream again can, once it drops what it has of the run.
import { HttpAgent } from "@ag-ui/client";

const query = new URLSearchParams(location.search);
const threadId = query.get("id");
const api = `/${query.get("api") ?? "agui"}`;
const asked = { id: "u1", role: "user", content: "Tell me of a harbour" };

class ResumingAgent extends HttpAgent {
  requestInit(input) {
    if (!this.url.endsWith("/stream")) return super.requestInit(input);
    return { headers: { Accept: "text/event-stream" }, signal: this.abortController.signal };
  }
}

const agent = (window.agent = new ResumingAgent({ url: api, threadId, initialMessages: [asked] }));
window.seen = { state: "idle", error: null, kinds: {}, outcome: null };

function show() {
  document.getElementById("state").textContent = seen.state;
  const lines = agent.messages.map((m) => `${m.role}: ${m.content ?? ""} ${JSON.stringify(m.toolCalls?.map((c) => c.function) ?? "")}`);
  document.getElementById("messages").textContent = lines.join("\n\n");
}

window.go = async (resume) => {
  agent.url = resume ? `${api}/${threadId}/stream` : api;
  agent.setMessages([asked]);
  Object.assign(seen, { state: "running", error: null, kinds: {}, outcome: null });
  const watch = {
    onEvent: ({ event }) => void (seen.kinds[event.type] = (seen.kinds[event.type] ?? 0) + 1),
    onRunFinishedEvent: ({ event }) => void (seen.outcome = event),
    onMessagesChanged: show,
  };
  try {
    await agent.runAgent({}, watch);
    seen.state = "ended";
  } catch (error) {
    seen.error = String(error);
    seen.state = "failed";
  }
  show();
};
