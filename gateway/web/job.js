// The panel of one job: what it is, where it stands and since when, why, what happened, and what may be done.

import { get, post } from "./api.js";
import { confirmed, problem } from "./ask.js";
import { ago, announce, calmly, h, say, setAgo, span, sync } from "./dom.js";
import { command, panel, progress } from "./jobs.js";
import { FINAL, badge, setStatus } from "./status.js";
import { clock, line } from "./timeline.js";
import { explanation } from "./why.js";

const TITLES = { Waiting: "Why it waits", Failed: "Why it failed", Stalled: "Why it is stalled", Killed: "How it ended", Done: "How it ended" };
let shown = null;
let row = null;

const mark = badge("");
const number = h("p", { class: "number" });
const title = h("h1", { id: "panel-title", tabindex: "-1" });
const state = h("p", { class: "state" });
const exact = h("span");
const when = ago("");
const close = h("a", { class: "close", href: "#/jobs", "aria-label": "Close this job" }, "×");
const fault = h("div", { class: "fault", role: "alert", hidden: true });
const actions = h("div", { class: "actions" });
const reasons = h("div", { class: "why" });
const reasonsTitle = h("h2", {}, "Why");
const facts = h("dl", { class: "facts" });
const events = h("ol", { class: "timeline" });
const told = h("pre", { tabindex: "0" });
const description = h("details", { class: "described" }, h("summary", {}, "What was submitted"), told);
const body = h("div", { class: "inside" }, actions,
  h("section", {}, reasonsTitle, reasons), h("section", {}, h("h2", {}, "What happened"), events),
  h("section", {}, h("h2", {}, "About the job"), facts), description);

panel.append(h("header", {}, h("div", {}, number, title), close), h("p", { class: "now" }, mark, state, h("span", {}, exact, when)), fault, body);
panel.setAttribute("aria-labelledby", "panel-title");
panel.removeAttribute("aria-label");

description.addEventListener("toggle", describe);

export async function open(job) {
  if (shown === job) return;
  shown = job;
  row = null;
  panel.hidden = false;
  body.hidden = true;
  fault.hidden = true;
  description.open = false;
  say(told, "");
  setStatus(mark, "");
  say(number, `Job ${job}`);
  say(title, "…");
  say(state, "");
  say(exact, "");
  setAgo(when, "");
  for (const part of [reasons, facts, events, actions]) part.replaceChildren();
  await load();
  if (shown === job) title.focus({ preventScroll: true });
}

export function shut() {
  shown = null;
  panel.hidden = true;
}

export const isOpen = () => shown !== null;
export const opened = () => shown;

const again = calmly(load, 500);
export function happened(event) {
  if (shown !== null && event.job === shown) again();
}
export const renew = () => shown !== null && again();

async function load() {
  const job = shown;
  if (job === null) return;
  const path = `/api/v1/jobs/${job}`;
  try {
    const [one, why, history] = await Promise.all([get(path), get(`${path}/why`), get(`${path}/history`)]);
    if (shown !== job) return;
    const moved = row && row.status !== one.status;
    row = one;
    paint(why, history.lines);
    if (moved) announce(`Job ${job} is ${one.status}`);
  } catch (refused) {
    if (shown === job) complain(refused);
  }
}

function complain(refused) {
  fault.hidden = false;
  fault.replaceChildren(problem(refused));
  if (!row) say(title, "Not shown");
}

function paint(why, lines) {
  fault.hidden = true;
  body.hidden = false;
  setStatus(mark, row.status);
  say(title, row.name);
  const doing = progress(row);
  say(state, doing && doing !== row.status ? doing : "");
  say(exact, `since ${clock(why.since ?? row.updated_at)}, `);
  setAgo(when, why.since ?? row.updated_at);
  say(reasonsTitle, TITLES[row.status] ?? "Why it is here");
  reasons.replaceChildren(explanation(why, command));
  sync(events, lines, (_, nth) => nth, line, () => {});
  facts.replaceChildren(...known().map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  offer();
}

function known() {
  const exact = (at) => at && new Date(at).toLocaleString();
  return [
    ["Owner", `${row.owner_name} (${row.owner_group})`],
    ["Type", row.job_type],
    ["Job group", row.job_group === "00000000" ? "" : row.job_group],
    ["Priority", row.priority],
    ["Attempt", row.reschedules ? `${row.attempt}, after ${row.reschedules} reschedules` : row.attempt],
    ["Site", row.site === "ANY" ? "any" : row.site],
    ["Computing element", row.ce],
    ["Pilot", row.pilot && h("a", { href: `#/pilots/${row.pilot}` }, row.pilot)],
    ["Submitted", exact(row.submitted_at)],
    ["Started", exact(row.started_at)],
    ["Ended", exact(row.ended_at)],
    ["Exit code", row.exit_code === null ? "" : String(row.exit_code)],
    ["Used", row.wall_seconds === null ? "" : `${row.cpu_seconds} s CPU in ${span(Math.max(3, row.wall_seconds))}`],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
}

function offer() {
  const wanted = [];
  if (row.output) wanted.push(["output", "Download output", output, "main"]);
  if (["Failed", "Killed"].includes(row.status)) wanted.push(["reschedule", "Run again", () => act("reschedule", "Run this job again?", "Run again"), ""]);
  if (!FINAL.has(row.status)) wanted.push(["kill", "Kill", () => act("kill", "Kill this job?", "Kill the job", "danger"), ""]);
  sync(actions, wanted, ([key]) => key, ([, label, work, kind]) => h("button", { type: "button", class: kind, onclick: work }, label), () => {});
  actions.hidden = !wanted.length;
}

async function act(verb, question, yes, kind = "main") {
  const job = row.job;
  const answer = await confirmed(question, `Job ${job}, ${row.name}`, yes, kind);
  if (answer === null) return;
  try {
    const result = await post(`/api/v1/jobs/${job}/${verb}`, { reason: answer });
    announce(`Job ${job} is ${result.status}`);
    await load();
  } catch (refused) {
    complain(refused);
  }
}

async function output() {
  try {
    const { url } = await get("/api/jobs/sandbox", { pfn: row.output });
    if (!/^https?:/.test(new URL(url, location.href).protocol)) return;
    const link = h("a", { href: url, download: "", rel: "noopener" });
    document.body.append(link);
    link.click();
    link.remove();
  } catch (refused) {
    complain(refused);
  }
}

async function describe() {
  if (!description.open || told.textContent || shown === null) return;
  try {
    const given = await get(`/api/v1/jobs/${shown}/description`);
    const useful = Object.entries(given).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length));
    say(told, JSON.stringify(Object.fromEntries(useful), null, 2));
  } catch (refused) {
    complain(refused);
  }
}
