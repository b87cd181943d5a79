// The engine's log and the trail of acts.

import { get } from "./api.js";
import { byId, el, setText } from "./dom.js";
import { clock, count, moment } from "./format.js";
import { act, every } from "./shell.js";

const REFRESH_MS = 2_000;
const LINES = 200;
const ACTS = 50;
const TONES = { debug: "off", info: "off", warning: "warn", error: "bad", critical: "bad" };
const GLYPHS = { debug: "·", info: "●", warning: "▲", error: "✗", critical: "✗" };

let isFollowing = true;
let newest = "";
let older = []; // Acts that were asked for beyond the first page.
let oldest = 0;

const requestLink = (id) => el("a", { href: `/ui/requests/${encodeURIComponent(id)}` }, id);
const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function logLine(line) {
  const fields = Object.entries(line.fields).map(([name, value]) => `${name}=${plain(value)}`);
  return el(
    "li",
    {},
    el("time", {}, clock(Date.parse(line.at) / 1000)),
    el("span", { class: `level tone-${TONES[line.level] ?? "off"}` }, `${GLYPHS[line.level] ?? "●"} ${line.level}`),
    el("span", { class: "words" }, line.event, " ", line.request_id ? requestLink(line.request_id) : null, el("span", { class: "muted" }, ` ${fields.join(" ")}`)),
  );
}

function actLine(entry) {
  return el(
    "li",
    {},
    el("time", {}, moment(entry.at)),
    el("span", { class: "words" }, el("b", {}, entry.action), ` ${entry.target} `, el("span", { class: "muted" }, `by ${entry.actor}`, entry.detail ? ` · ${entry.detail}` : "")),
  );
}

async function readLogs() {
  if (!isFollowing) return;
  const { lines, dropped } = await get(`/admin/logs?${new URLSearchParams({ level: byId("level").value, limit: LINES })}`);
  const mark = `${byId("level").value} ${lines[0]?.number ?? ""}`;
  if (mark === newest) return;
  newest = mark;
  byId("logs").replaceChildren(...lines.map(logLine));
  byId("logs-none").hidden = lines.length > 0;
  setText(byId("logs-note"), dropped ? `${count(dropped)} older ones are not kept` : "");
}

async function readAudit() {
  const page = await get(`/admin/audit?limit=${ACTS}`);
  if (older.length === 0) oldest = page.next_before;
  const first = page.entries[0]?.number ?? 0;
  if (byId("audit").dataset.first === String(first) && byId("audit").children.length) return;
  byId("audit").dataset.first = String(first);
  drawAudit(page.entries);
}

function drawAudit(entries) {
  const last = entries.at(-1)?.number ?? Infinity;
  byId("audit").replaceChildren(...[...entries, ...older.filter((entry) => entry.number < last)].map(actLine));
  byId("audit-none").hidden = entries.length > 0;
  byId("older").hidden = oldest === 0;
}

const refresh = every(REFRESH_MS, () => Promise.all([readLogs(), readAudit()]));

byId("level").addEventListener("change", refresh);
byId("follow").addEventListener("click", () => {
  isFollowing = !isFollowing;
  byId("follow").setAttribute("aria-pressed", String(isFollowing));
  setText(byId("follow"), isFollowing ? "▼ Follow" : "‖ Held");
  refresh();
});
byId("older").addEventListener("click", () =>
  act(byId("older"), async () => {
    const page = await get(`/admin/audit?limit=${ACTS}&before=${oldest}`);
    oldest = page.next_before;
    older = [...older, ...page.entries];
    byId("audit").append(...page.entries.map(actLine));
    byId("older").hidden = oldest === 0;
  }),
);
