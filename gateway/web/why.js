// Why a job is where it is: the gateway's codes and figures as sentences.

import { h, many, since } from "./dom.js";

const PEOPLE = { user: "you", site: "the site", operator: "the operator of this installation" };

// What was wanted, as the second half of "The job …", and what was there, as the second half of "the pilots …".
const OBSTACLES = {
  "other-vo": ["belongs to another VO", "serve"],
  site: ["may only run at certain sites", "are at"],
  "site-banned": ["must not run at this site", "are at"],
  ce: ["may only run at certain computing elements", "are at"],
  platform: ["needs another platform", "have"],
  tag: ["asks for a tag that is not offered", "offer"],
  processors: ["needs more processors", "offer"],
  memory: ["needs more memory", "offer"],
  "cpu-time": ["needs more CPU time", "have left"],
  gpu: ["needs more GPUs", "offer"],
  "other-owner": ["belongs to somebody else", "take"],
  "other-group": ["belongs to another group", "take"],
  "required-tag": ["does not carry the tag that is required", "take jobs"],
  "job-type": ["is of another type", "take"],
  "refused-by-resource": ["carries what is refused there", "take"],
  "whole-node": ["needs a whole node", "offer"],
  "resource-status": ["would run where nothing may run at the moment", "are at"],
  "running-limit": ["is over a limit of running jobs", "are under the limit"],
  "matching-delay": ["has to wait after the last match", "are under the delay"],
  failing: ["would run where everything fails", "are at"],
  reserved: ["is small, and a job that needs more processors has waited for long", "are kept for"],
};

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** The whole explanation; `command` shows a command to type. */
export function explanation(why, command) {
  return h("div", {},
    h("p", { class: "detail" }, `${capital(headline(why))}.`),
    why.reasons?.length ? h("ul", { class: "obstacles" }, why.reasons.map(obstacle)) : null,
    ...figures(why).map((text) => h("p", { class: "aside" }, text)),
    PEOPLE[why.who] ? h("p", { class: "aside" }, `This is up to ${PEOPLE[why.who]}.`) : null,
    why.next ? command(why.next) : null);
}

function headline(why) {
  if (why.reasons?.length && why.fitting === 0 && why.pilots === 1) return "the only pilot seen does not have what it asks for";
  if (why.reasons?.length && why.fitting === 0) return `none of the ${many(why.pilots, "pilot")} seen has what it asks for`;
  return why.detail?.replace(/\.$/, "") || `it is ${why.status}`;
}

function obstacle(reason) {
  const [needs, have] = OBSTACLES[reason.code] ?? [`meets an obstacle (${reason.code})`, "offer"];
  const all = reason.pilots === reason.of;
  const where = all ? (reason.of === 1 ? "the only pilot" : `all ${reason.of} pilots`) : `${reason.pilots} of ${reason.of} pilots`;
  const meter = h("meter", { min: 0, max: reason.of, value: reason.pilots, "aria-label": `${reason.pilots} of ${reason.of} pilots` });
  return h("li", {},
    h("p", {}, `The job ${needs}; this keeps it from ${where}.`),
    h("dl", {}, h("div", {}, h("dt", {}, "Wanted"), h("dd", {}, reason.wanted)),
      h("div", {}, h("dt", {}, have === "offer" ? "Offered" : `Pilots ${have}`), h("dd", {}, reason.offered || "nothing"))),
    meter);
}

function figures(why) {
  const lines = [];
  if (why.ahead) lines.push(`${many(why.ahead, "job")} will be served before it.`);
  if (why.last_offer) lines.push(`The last pilot asked for work ${since(why.last_offer)}.`);
  if (why.job_heard_at) lines.push(`The job was heard of ${since(why.job_heard_at)}.`);
  else if (why.pilot_heard_at) lines.push(`Its pilot was heard of ${since(why.pilot_heard_at)}.`);
  if (why.said) lines.push(`The pilot said: ${why.said}`);
  return lines;
}
