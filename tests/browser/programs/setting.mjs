// A server, a network that can be cut, and a browser.
import { spawn } from "node:child_process";
import net from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const here = fileURLToPath(new URL(".", import.meta.url));
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

process.setMaxListeners(50);

export async function serve(more = {}, program = [process.env.APP, here]) {
  const environment = { ...process.env, ...more };
  const child = spawn(process.env.PYTHON, program, { env: environment, stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => child.kill("SIGKILL"));
  const gone = new Promise((_, fail) => child.on("exit", (code) => fail(new Error(`the server left with ${code}`))));
  gone.catch(() => {});
  const line = new Promise((done) => createInterface({ input: child.stdout }).once("line", done));
  const { port } = JSON.parse(await Promise.race([line, gone]));
  return { port, kill: (signal = "SIGKILL") => child.kill(signal), gone };
}

// A TCP proxy before the server. `cut` breaks all connections, `refuse` breaks new ones too, `to` leads new ones elsewhere.
export async function network(port) {
  const sockets = new Set();
  let target = port;
  let refused = false;
  const server = net.createServer((near) => {
    if (refused) return near.destroy();
    const far = net.connect(target, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        near.destroy();
        far.destroy();
        sockets.delete(socket);
      });
    }
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return { port: server.address().port, cut, to: (other) => (target = other), refuse: (now) => ((refused = now), cut()) };
}

export async function bundle(entry, name) {
  const options = { bundle: true, format: "iife", jsx: "automatic", logLevel: "error", define: { "process.env.NODE_ENV": '"production"' } };
  await build({ ...options, entryPoints: [`${here}${entry}`], outfile: `${here}${name}` });
}

export async function browser() {
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const started = await chromium.launch({ executablePath: process.env.BROWSER, args });
  process.on("exit", () => void started.close().catch(() => {}));
  return started;
}

export const shot = (page, name) => page.screenshot({ path: `${process.argv[2]}/${name}.png` });
