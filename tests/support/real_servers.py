"""Servers that others made, before a Messages API: nginx, nghttpx, Caddy, hypercorn, each in a process of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import trustme

__all__ = ["REAL_SERVERS", "RealServer", "real_server"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def _nginx(folder: Path, port: int, behind: int) -> list[str]:
    (folder / "nginx.conf").write_text(
        f"""
{"user root;" if os.getuid() == 0 else ""} daemon off; pid {folder}/pid;
error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; client_max_body_size 50m;
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=1024; ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem; keepalive_requests 60; http2_max_concurrent_streams 128;
    location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_buffering off; proxy_http_version 1.1; }}
  }}
}}
"""
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def _nghttpx(folder: Path, port: int, behind: int) -> list[str]:
    return [
        "nghttpx",
        f"-f127.0.0.1,{port}",
        f"-b127.0.0.1,{behind}",
        "--no-ocsp",
        "--single-process",  # the one that is frozen or killed
        "--conf=/dev/null",
        f"--errorlog-file={folder}/error.log",
        f"{folder}/key.pem",
        f"{folder}/cert.pem",
    ]


def _caddy(folder: Path, port: int, behind: int) -> list[str]:
    (folder / "Caddyfile").write_text(
        f"""
{{
  admin off
  auto_https off
  servers {{
    protocols h1 h2
  }}
}}
https://127.0.0.1:{port} {{
  bind 127.0.0.1
  tls {folder}/cert.pem {folder}/key.pem
  reverse_proxy 127.0.0.1:{behind} {{
    flush_interval -1
  }}
}}
"""
    )
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


_APP = """
import json
import anyio

def event(kind, **fields):
    return f"event: {kind}\\ndata: {json.dumps({'type': kind, **fields})}\\n\\n".encode()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            await send({"type": (await receive())["type"] + ".complete"})
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": usage}
    pieces = [event("message_start", message=message),
              event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
              *[event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word "})] * 5,
              event("content_block_stop", index=0),
              event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=usage),
              event("message_stop")]
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await anyio.sleep(0.01)
    await send({"type": "http.response.body", "body": b""})
"""


def _hypercorn(worker: str) -> Callable[[Path, int, int], list[str]]:
    def command(folder: Path, port: int, behind: int) -> list[str]:
        (folder / "answers.py").write_text(_APP)
        return [
            *(sys.executable, "-m", "hypercorn", "-k", worker, "-b", f"127.0.0.1:{port}", "--backlog", "1024"),
            *("--certfile", f"{folder}/cert.pem", "--keyfile", f"{folder}/key.pem", "answers:app"),
        ]

    return command


REAL_SERVERS: dict[str, tuple[Callable[[Path, int, int], list[str]], bool]] = {
    "nginx": (_nginx, shutil.which("nginx") is not None),
    "nghttpx": (_nghttpx, shutil.which("nghttpx") is not None),
    "caddy": (_caddy, shutil.which("caddy") is not None),
    "hypercorn-asyncio": (_hypercorn("asyncio"), find_spec("hypercorn") is not None),
    "hypercorn-trio": (_hypercorn("trio"), find_spec("hypercorn") is not None),
}
"""How each is begun, and whether it is installed."""


class RealServer:
    """A server that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self._process = process
        self.url = f"https://127.0.0.1:{port}"

    def freeze(self) -> None:
        """Stops it as it stands: its sockets stay open, and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()


@contextmanager
def real_server(name: str, folder: Path, authority: trustme.CA, behind: int) -> Generator[RealServer]:
    """Runs a server of `REAL_SERVERS` before the plain HTTP server on the port `behind`."""
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(str(folder / "cert.pem"), append=bool(number))
    port = _free_port()
    command = REAL_SERVERS[name][0](folder, port, behind)
    with (folder / "said.log").open("wb") as said:
        written = {name: str(folder) for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME")}  # where Caddy notes things
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **written}, stdout=said, stderr=said)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise RuntimeError(f"{name} did not start: {(folder / 'said.log').read_text()[-500:]}")
        yield RealServer(process, port)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
