// The page of pilots: who works, where, with what; and one pilot with the jobs it got.

import { get } from "./api.js";
import { ago, calmly, count, h, many, say, setAgo, sync } from "./dom.js";
import { command } from "./jobs.js";
import { badge } from "./status.js";
import { line } from "./timeline.js";

const TONES = { Submitted: "waiting", Running: "running", Done: "done", Aborted: "failed" };
const SHOWN = 100;
const summary = h("p", { role: "status" });
const heads = ["Pilot", "Status", "Site", "Offers", "Machine", "Changed"];
const body = h("tbody");
const table = h("table", { class: "grid" }, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))), body);
const nothing = h("div", { class: "empty", hidden: true }, h("h2", {}, "No pilots yet"),
  h("p", {}, "Pilots are the processes on sites that ask for jobs and run them. On a laptop they start with everything else:"),
  command("spinor up --pilots 2"));
const detail = h("section", { class: "card one", "aria-label": "One pilot", hidden: true });
export const element = h("div", { class: "view pilots" }, detail,
  h("section", { class: "card", "aria-labelledby": "pilots-title" },
    h("div", { class: "heading" }, h("h1", { id: "pilots-title" }, "Pilots"), summary), table, nothing));

let failed = () => {};
export const onFault = (handler) => (failed = handler);
let stamp = "";

export function show(wanted) {
  stamp = wanted;
  detail.hidden = true;
  load();
}

const later = calmly(load, 3000);
export const renew = () => element.isConnected && later();
export const happened = renew; // what jobs go through tells that pilots do something
setInterval(renew, 15_000);

async function load() {
  const asked = stamp;
  try {
    const one = asked && Promise.all(["", "/history"].map((part) => get(`/api/v1/pilots/${encodeURIComponent(asked)}${part}`)));
    const { pilots } = await get("/api/v1/pilots", { limit: SHOWN });
    paint(pilots);
    const found = await one;
    if (asked !== stamp) return;
    detail.hidden = !found;
    if (found) describe(...found);
    failed(null);
  } catch (refused) {
    failed(refused);
  }
}

function paint(pilots) {
  const at = pilots.filter((pilot) => pilot.status === "Running").length;
  say(summary, pilots.length ? `${count(at)} working${pilots.length === SHOWN ? `, the newest ${SHOWN} are shown` : ` of ${many(pilots.length, "pilot")}`}` : "");
  table.hidden = !pilots.length;
  nothing.hidden = pilots.length > 0;
  sync(body, pilots, (pilot) => pilot.stamp, made, updated);
}

const cell = (head, ...children) => h("td", { "data-head": head }, ...children);

function made(pilot) {
  return h("tr", {}, h("th", { scope: "row" }, h("a", { href: `#/pilots/${encodeURIComponent(pilot.stamp)}` }, h("code", {}, pilot.stamp))),
    h("td", {}, badge("")), cell("Site"), cell("Offers"), cell("Machine"), cell("Changed", ago(pilot.updated_at)));
}

function updated(row, pilot) {
  const [, status, site, offers, machine, changed] = row.children;
  mark(status.firstElementChild, pilot);
  fill(site, [pilot.site, pilot.ce && `${pilot.ce}${pilot.queue ? ` / ${pilot.queue}` : ""}`]);
  fill(offers, offered(pilot.node));
  fill(machine, [pilot.node.hostname ?? "", pilot.node.platform ?? ""]);
  setAgo(changed.firstElementChild, pilot.updated_at);
}

function mark(node, pilot) {
  if (node.dataset.word === pilot.status) return;
  const fresh = badge(TONES[pilot.status] ? { Submitted: "Waiting", Running: "Running", Done: "Done", Aborted: "Failed" }[pilot.status] : "Received");
  fresh.lastElementChild.textContent = { Submitted: "Expected", Aborted: "Gone silent", Done: "Ended" }[pilot.status] ?? pilot.status;
  fresh.dataset.word = pilot.status;
  node.replaceWith(fresh);
}

function fill(node, [first, second]) {
  const text = `${first ?? ""}\n${second ?? ""}`;
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...(first || second ? [first || "", second ? h("small", {}, second) : ""] : []));
}

function offered(node) {
  if (!node.processors) return ["", ""];
  const memory = node.memory_mb ? `${(node.memory_mb / 1024).toFixed(node.memory_mb < 10_240 ? 1 : 0)} GiB memory` : "";
  const gpus = node.gpus ? many(node.gpus, "GPU") : "";
  return [[many(node.processors, "processor"), memory, gpus].filter(Boolean).join(", "), (node.tags ?? []).join(", ")];
}

function describe(pilot, { lines }) {
  const place = h("p", {}, [pilot.site, pilot.ce].filter(Boolean).join(" · "));
  const heard = pilot.heard_at ? h("p", { class: "aside" }, "Last heard of ", ago(pilot.heard_at)) : "";
  const jobs = pilot.jobs.map((job) => h("li", {}, h("a", { class: "brief", href: `#/job/${job.job}` }, badge(job.status),
    h("span", { class: "number" }, job.job), h("span", { class: "name" }, job.name), ago(job.matched_at))));
  detail.replaceChildren(h("header", {}, h("div", {}, h("h1", {}, "Pilot ", h("code", {}, pilot.stamp)), place, heard),
    h("a", { class: "close", href: "#/pilots", "aria-label": "Close this pilot" }, "×")),
    h("div", { class: "halves" }, h("div", {}, h("h2", {}, `Jobs it got (${count(jobs.length)})`),
      jobs.length ? h("ol", {}, jobs) : h("p", { class: "aside" }, "None so far.")),
    h("div", {}, h("h2", {}, "What happened"), h("ol", { class: "timeline" }, lines.map(line)))));
}
