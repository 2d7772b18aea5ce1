// The page of jobs: numbers by status, activity, filters, the list. One event changes one row, never the whole list.

import { get } from "./api.js";
import { announce, ago, calmly, count, h, many, say, setAgo, sync } from "./dom.js";
import { Activity } from "./activity.js";
import { Rows } from "./rows.js";
import { FINAL, badge, rank, setStatus, tone } from "./status.js";

const rows = new Rows();
const activity = new Activity();
const filter = { status: "", text: "" };
let busy = false;
let reached = false; // whether the gateway has answered at least once

const bar = h("div", { class: "bar", role: "img" });
const tallies = h("div", { class: "tallies", role: "group", "aria-label": "Show only jobs with this status" });
const total = h("b", {}, "…");
const search = h("input", {
  type: "search", id: "search", autocomplete: "off", spellcheck: "false", placeholder: "Text, or owner:me  site:…",
  "aria-label": "Filter the jobs by text; owner:, group:, site:, name: and pilot: ask for an exact value",
});
const choice = h("select", { "aria-label": "Status" });
const shown = h("p", { class: "shown", role: "status" });
const list = h("ol", { class: "rows", "aria-label": "Jobs, newest first" });
const more = h("button", { type: "button" }, "Older jobs");
const moreRow = h("div", { class: "more", hidden: true }, more);
const nothing = h("div", { class: "empty", hidden: true });
const heads = h("div", { class: "heads", "aria-hidden": "true" },
  ...["Status", "Job", "Name", "Progress"].map((text) => h("span", {}, text)),
  h("span", { class: "owner" }, "Owner"), h("span", { class: "site" }, "Site"), h("span", {}, "Changed"));
export const panel = h("aside", { class: "panel card", "aria-label": "Job", hidden: true });

export const element = h("div", { class: "view jobs" },
  h("section", { class: "card overview", "aria-label": "Overview" },
    h("div", {}, h("h2", {}, "Jobs by status", total), bar, tallies),
    activity.element),
  h("div", { class: "filters", role: "search" },
    h("div", { class: "search" }, search, h("kbd", { "aria-hidden": "true" }, "/")), choice, shown),
  h("div", { class: "split" },
    h("section", { class: "listing card", "aria-label": "List of jobs" }, heads, list, nothing, moreRow), panel));

let typed = 0;
search.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => narrow({ text: search.value.trim() }), 200);
});
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && /^\d+$/.test(search.value.trim())) location.hash = `#/job/${search.value.trim()}`;
});
choice.addEventListener("change", () => narrow({ status: choice.value }));
more.addEventListener("click", async () => {
  more.disabled = true;
  await working(() => rows.older());
  more.disabled = false;
});
list.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  const here = step && event.target.closest("li");
  const next = here && (step > 0 ? here.nextElementSibling : here.previousElementSibling);
  if (!next) return;
  event.preventDefault();
  next.firstElementChild.focus();
});

async function narrow(change) {
  Object.assign(filter, change);
  rows.reset(filter);
  choice.value = filter.status;
  for (const button of tallies.children) button.setAttribute("aria-pressed", button.dataset.key === filter.status);
  await working(() => rows.refresh());
  announce(shown.textContent);
}

let failed = () => {};
export const onFault = (handler) => (failed = handler);

async function working(work) {
  busy = true;
  try {
    await work();
    reached = true;
    failed(null);
  } catch (fault) {
    failed(fault);
  }
  busy = false;
  paint();
}

const reload = calmly(() => working(() => rows.refresh()), 900);
const recount = calmly(async () => {
  try {
    tally((await get("/api/v1/jobs/summary")).counts);
  } catch (fault) {
    failed(fault);
  }
}, 1000);
const repaint = calmly(async () => paint(), 120);

export function show() {
  narrow({});
  recount();
  activity.renew();
}

/** After a break in the stream: what is newest may have changed; what changed further down comes as events. */
export function renew() {
  reload();
  recount();
  activity.renew();
}

export function happened(event) {
  activity.renew();
  if (rows.apply(event)) repaint();
  recount();
  reload();
}

export function select(job) {
  for (const link of list.querySelectorAll(".job")) {
    if (link.dataset.job === String(job)) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  selected = job;
}
let selected = null;

function tally(counts) {
  const found = counts.filter((each) => each.status !== "Deleted").sort((one, other) => rank(one.status) - rank(other.status));
  const sum = found.reduce((all, each) => all + each.count, 0);
  say(total, many(sum, "job"));
  bar.setAttribute("aria-label", found.map((each) => `${each.status} ${each.count}`).join(", ") || "no jobs");
  sync(bar, found, (each) => each.status, (each) => h("span", { data: { tone: tone(each.status) } }), (node, each) => {
    node.style.flexGrow = each.count;
    node.title = `${each.status}: ${count(each.count)}`;
  });
  sync(tallies, found, (each) => each.status, button, (node, each) => say(node.lastElementChild, count(each.count)));
  const known = ["", ...new Set([...found.map((each) => each.status), filter.status].filter(Boolean))];
  sync(choice, known, (status) => status, (status) => h("option", { value: status }, status || "Every status"), () => {});
  choice.value = filter.status;
}

function button(each) {
  const press = () => narrow({ status: filter.status === each.status ? "" : each.status });
  const pressed = String(filter.status === each.status);
  return h("button", { type: "button", onclick: press, "aria-pressed": pressed, data: { tone: tone(each.status) } },
    badge(each.status), h("b", {}));
}

function paint() {
  const visible = rows.shown();
  const fresh = list.childElementCount > 0;
  sync(list, visible, (row) => row.job, (row) => made(row, fresh), updated);
  moreRow.hidden = !rows.more || !reached || !rows.known.size;
  say(more, rows.words.length ? "Search older jobs" : "Older jobs");
  heads.hidden = visible.length === 0;
  const among = rows.words.length ? ` of ${count(rows.known.size)} looked at` : "";
  say(shown, visible.length ? `${many(visible.length, "job")} shown${among}` : "");
  nothing.hidden = visible.length > 0 || busy || !reached;
  if (!nothing.hidden) explain();
}

function explain() {
  const key = `${filter.status}|${filter.text}`;
  if (nothing.dataset.key === key) return;
  nothing.dataset.key = key;
  if (key !== "|") {
    const clear = () => ((search.value = ""), narrow({ status: "", text: "" }));
    nothing.replaceChildren(h("h2", {}, "No job fits these filters"),
      h("p", {}, h("button", { type: "button", onclick: clear }, "Show all jobs")));
    return;
  }
  nothing.replaceChildren(h("h2", {}, "No jobs yet"), h("p", {}, "Jobs appear here the moment they are submitted. Send a first one:"),
    command("echo 'Executable = \"/bin/hostname\";' | spinor job submit -"));
}

/** A command to type, with a button that copies it. */
export function command(text) {
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    announce("copied");
  };
  return h("div", { class: "command" }, h("code", {}, text), h("button", { type: "button", class: "plain", onclick: copy }, "Copy"));
}

function made(row, fresh) {
  return h("li", {}, h("a", { class: fresh ? "job fresh" : "job", href: `#/job/${row.job}`, data: { job: row.job, tone: tone(row.status) } },
    badge(row.status), h("span", { class: "number" }), h("span", { class: "name" }), h("span", { class: "minor" }),
    h("span", { class: "owner" }), h("span", { class: "site" }), ago(row.updated_at)));
}

function updated(node, row) {
  const link = node.firstElementChild;
  const [status, number, name, minor, owner, site, moment] = link.children;
  if (status.lastElementChild.textContent && status.lastElementChild.textContent !== row.status) flash(link);
  link.dataset.tone = tone(row.status);
  setStatus(status, row.status);
  say(number, row.job);
  say(name, row.name);
  say(minor, progress(row));
  say(owner, row.owner_name);
  say(site, row.site === "ANY" ? "any" : row.site);
  setAgo(moment, row.updated_at);
  if (String(selected) === link.dataset.job) link.setAttribute("aria-current", "true");
}

export const progress = (row) =>
  [row.minor_status, row.application_status === "Unknown" || FINAL.has(row.status) ? "" : row.application_status].filter(Boolean).join(" · ");

function flash(link) {
  link.classList.remove("fresh");
  requestAnimationFrame(() => link.classList.add("fresh"));
}

export { search };
