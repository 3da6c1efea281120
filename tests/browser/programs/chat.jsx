// `useChat` as its documentation has it. `?id=` is the chat, `stored` says what the app has stored of it.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { useEffect } from "react";
import { createRoot } from "react-dom/client";

const asked = new URLSearchParams(location.search);
const id = asked.get("id");
const key = `chat-${id}`;
const kept = JSON.parse(localStorage.getItem(key) ?? "[]");
const stored = asked.get("stored") === "all" ? kept : kept.filter((message) => message.role === "user");
window.errors = [];

function Chat() {
  const chat = useChat({
    id,
    messages: stored,
    resume: stored.length > 0 || asked.has("resume"),
    transport: new DefaultChatTransport({ api: asked.get("api") ?? "/vercel" }),
    onError: (error) => window.errors.push(String(error)),
  });
  window.chat = chat;
  useEffect(() => localStorage.setItem(key, JSON.stringify(chat.messages)), [chat.messages]);
  return (
    <>
      <h3>{chat.status}</h3>
      <button id="send" onClick={() => chat.sendMessage({ text: "Tell me of a harbour" })}>send</button>
      {chat.messages.map((message) => (
        <div key={message.id}>
          <b>{message.role}</b>
          {message.parts.map((part, number) => (
            <p key={number} style={{ color: part.type === "reasoning" ? "gray" : "black" }}>
              {part.text ?? (part.type.startsWith("tool-") ? `${part.type} ${part.state} ${JSON.stringify(part.input)}` : "")}
            </p>
          ))}
        </div>
      ))}
    </>
  );
}

createRoot(document.getElementById("root")).render(<Chat />);
