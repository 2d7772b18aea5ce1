// The live stream of events: server-sent events over fetch (EventSource cannot send the token), resumed after a break.

import { ask } from "./api.js";

const SILENCE = 60_000; // ms without even a sign of life after which the connection counts as dead
const LONGEST = 15_000; // ms between two tries

/** Follow `path` until `stop()`; `onEvent(name, data, id)`, `onState("live" | "connecting" | "away")`. */
export function follow(path, onEvent, onState) {
  let last = "";
  let pause = 500;
  let stopped = false;
  let connection = new AbortController();

  const once = async () => {
    connection = new AbortController();
    const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
    const response = await ask(path, { headers, signal: connection.signal });
    onState("live");
    pause = 500;
    const alive = watch(() => connection.abort());
    try {
      await read(response.body, alive, (name, data, id) => {
        if (id) last = id;
        onEvent(name, data, id);
      });
    } finally {
      alive.stop();
    }
  };

  const run = async () => {
    onState("connecting");
    while (!stopped) {
      try {
        await once();
      } catch (fault) {
        if (fault.status === 401 || fault.status === 403) return;
      }
      if (stopped) return;
      onState("away");
      await new Promise((resume) => setTimeout(resume, pause * (0.75 + Math.random() / 2)));
      pause = Math.min(pause * 2, LONGEST);
    }
  };
  run();
  return () => {
    stopped = true;
    connection.abort();
  };
}

function watch(dead) {
  let timer = setTimeout(dead, SILENCE);
  return {
    beat() {
      clearTimeout(timer);
      timer = setTimeout(dead, SILENCE);
    },
    stop: () => clearTimeout(timer),
  };
}

async function read(body, alive, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive.beat();
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) parse(block, onEvent);
  }
}

function parse(block, onEvent) {
  const fields = { event: "message", id: "", data: [] };
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (name === "data") fields.data.push(value);
    else if (name === "event" || name === "id") fields[name] = value;
  }
  if (!fields.data.length) return;
  let data;
  try {
    data = JSON.parse(fields.data.join("\n"));
  } catch {
    return;
  }
  onEvent(fields.event, data, fields.id);
}
