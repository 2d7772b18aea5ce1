// The jobs this page knows of: pages from the gateway, kept true by events, never more than was asked for.

import { get } from "./api.js";
import { AFTER } from "./status.js";

export const PAGE = 100;
const LOOK = 1000; // jobs looked at in one request when a text is searched for

const WORDS = { owner: "owner", group: "group", site: "site", pilot: "pilot", name: "name", minor: "minor", type: "job_type" };

/** `owner:me site:LCG.CERN.ch anything` as what the gateway filters by, and the words that are looked for here. */
export function understand(text) {
  const server = {};
  const words = [];
  for (const part of text.match(/\w+:"[^"]*"|\S+/g) ?? []) {
    const [, name, value] = /^(\w+):"?([^"]*)"?$/.exec(part) ?? [];
    if (WORDS[name] && value) server[WORDS[name]] = value;
    else words.push(part.toLowerCase());
  }
  return { server, words };
}

export class Rows {
  constructor() {
    this.reset({});
  }

  /** Begin anew with these filters: `status`, and `text` as people type it. */
  reset({ status = "", text = "" }) {
    const { server, words } = understand(text);
    this.status = status;
    this.words = words;
    this.query = { ...server, status };
    this.known = new Map();
    this.next = null;
    this.complete = false;
    this.wanted = PAGE;
    this.age = (this.age ?? 0) + 1;
  }

  /** Jobs that fit, newest first, as many as are wanted. */
  shown() {
    return this.fitting().slice(0, this.wanted);
  }

  fitting() {
    const all = [...this.known.values()].sort((one, other) => other.job - one.job);
    return all.filter((row) => this.fits(row));
  }

  fits(row) {
    if (this.status ? row.status !== this.status : row.status === "Deleted") return false;
    const text = `${row.name} ${row.status} ${row.minor_status} ${row.application_status ?? ""} ${row.owner_name} ${row.site} ${row.pilot ?? ""}`.toLowerCase();
    return this.words.every((word) => text.includes(word) || word === String(row.job));
  }

  get more() {
    return !this.complete || this.fitting().length > this.wanted;
  }

  /** The newest page again: rows that are there are made true, those that no longer belong go. */
  async refresh() {
    const age = this.age;
    const limit = this.words.length && !this.known.size ? LOOK : PAGE;
    const { jobs, next } = await get("/api/v1/jobs", { ...this.query, limit });
    if (age !== this.age) return; // the filters have changed meanwhile
    const newest = Math.max(0, ...this.known.keys());
    const oldest = next === null ? 0 : jobs.at(-1).job;
    if (!this.known.size || oldest > newest) {
      this.known.clear(); // nothing known, or a hole between the pages
      this.next = next;
      this.complete = next === null;
    }
    if (next === null) this.complete = true;
    const there = new Set(jobs.map((row) => row.job));
    for (const number of this.known.keys()) if (number >= oldest && !there.has(number)) this.known.delete(number);
    for (const row of jobs) this.known.set(row.job, row);
  }

  /** Show one page more; asks the gateway when what is known does not suffice. */
  async older() {
    this.wanted += PAGE;
    const age = this.age;
    if (this.complete || this.fitting().length >= this.wanted) return;
    const limit = this.words.length ? LOOK : PAGE;
    const { jobs, next } = await get("/api/v1/jobs", { ...this.query, limit, after: this.next });
    if (age !== this.age) return;
    for (const row of jobs) this.known.set(row.job, row);
    this.next = next;
    this.complete = next === null;
  }

  /** What an event changes in a row that is on the screen already; true if it does. */
  apply(event) {
    const row = this.known.get(event.job);
    const status = AFTER[event.topic];
    if (!row || !status) return false;
    this.known.set(event.job, { ...row, status, updated_at: event.at });
    return true;
  }
}
