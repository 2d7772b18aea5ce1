// The page: signs this tab in, shows what the address asks for, and keeps it true while events arrive.

import { claims, forget, takeToken, token } from "./api.js";
import { problem } from "./ask.js";
import { freshen, h, say } from "./dom.js";
import * as job from "./job.js";
import * as jobs from "./jobs.js";
import { follow } from "./live.js";
import * as pilots from "./pilots.js";
import * as queues from "./queues.js";

const content = document.getElementById("content");
const notice = document.getElementById("notice");
const VIEWS = { jobs, pilots, queues };
const STATES = { live: "live", connecting: "connecting…", away: "connecting again…" };
let current = null;
let stop = null;

function route() {
  if (location.hash.startsWith("#token=")) return begin();
  const [, name = "jobs", rest = ""] = location.hash.split("/");
  const view = name === "job" ? "jobs" : name in VIEWS ? name : "jobs";
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const number = name === "job" && /^[1-9]\d{0,14}$/.test(rest) ? Number(rest) : null;
  document.title = number ? `Job ${number} · Spinor` : `${view.charAt(0).toUpperCase() + view.slice(1)} · Spinor`;
  if (current !== VIEWS[view]) {
    current = VIEWS[view];
    content.replaceChildren(current.element);
    current.show(decode(rest));
  } else if (view === "pilots") current.show(decode(rest));
  jobs.select(number);
  if (number) job.open(number);
  else leave();
}

const decode = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
};

/** Close the panel, and give the focus back to the job it was about. */
function leave() {
  if (!job.isOpen()) return;
  const link = content.querySelector(`.job[data-job="${job.opened()}"]`);
  job.shut();
  link?.focus();
}

function state(name) {
  const link = document.getElementById("link");
  link.dataset.state = name;
  say(document.getElementById("link-text"), STATES[name]);
  if (name === "live") for (const part of [jobs, job, pilots, queues]) part.renew();
}

function happened(name, event) {
  if (typeof event?.topic !== "string") return;
  for (const part of [jobs, job, pilots, queues]) part.happened(event);
}

function fault(refused) {
  notice.hidden = !refused || refused.status === 401;
  if (!notice.hidden) notice.replaceChildren(problem(refused));
}

/** Without a token there is nothing to show but how to get one. */
function explain(lost) {
  stop?.();
  stop = current = null;
  job.shut();
  notice.hidden = true;
  for (const id of ["nav", "who"]) document.getElementById(id).hidden = true;
  document.getElementById("link").dataset.state = "off";
  say(document.getElementById("link-text"), "not signed in");
  document.title = "Sign in · Spinor";
  content.replaceChildren(h("div", { class: "empty" },
    h("h1", {}, lost ? "This tab is no longer signed in" : "This page opens through a link"),
    h("p", {}, lost ? "Its token has ended or belongs to another installation. A new link signs it in again." : "The link signs this tab in. Its token stays in the tab: it is never part of an address that anybody logs."),
    h("p", {}, "The command that runs Spinor on your machine prints it:"), jobs.command("spinor up"),
    h("p", {}, "Everything on this page is in the terminal, too: ", h("code", {}, "spinor job list"))));
}

function begin() {
  takeToken();
  stop?.();
  if (!token()) return explain(false);
  const who = claims();
  say(document.getElementById("vo"), who.vo ?? "?");
  say(document.getElementById("user"), who.preferred_username || who.sub || "?");
  for (const id of ["nav", "who"]) document.getElementById(id).hidden = false;
  current = null;
  stop = follow("/api/v1/events?backlog=0", happened, state);
  route();
}

for (const part of [jobs, pilots, queues]) part.onFault(fault);
document.addEventListener("signed-out", () => {
  forget();
  explain(true);
});
window.addEventListener("hashchange", () => (token() || location.hash.startsWith("#token=") ? route() : explain(false)));
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names what is shown, not where the focus is
  content.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && current === jobs) {
    event.preventDefault();
    jobs.search.focus();
  } else if (event.key === "Escape" && job.isOpen()) location.hash = "#/jobs";
});
setInterval(freshen, 5000);
begin();
