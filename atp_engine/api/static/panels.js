// What stands around the request table: vital signs, warnings, sessions, deployments, notices, first run.

import { KeyedRows, byId, copyButton, el, setAttr, setText } from "./dom.js";
import { NONE, age, clock, count, dollars, healthOf, money, pace, share, span } from "./format.js";

const MOST_SESSIONS = 8;
const MOST_NOTICES = 6;

/** The strip of figures under the title, and the line of warnings when something needs a person. */
export function showEngine(engine) {
  setText(byId("v-up"), age(engine.uptime_s));
  setText(byId("v-rps"), pace(engine.requests_per_s));
  drawSpark(engine.requests_per_s);
  setText(byId("v-flight"), String(engine.in_flight));
  setText(byId("v-queued"), engine.queued ? `+${engine.queued} queued` : "");
  setText(byId("v-errors"), share(engine.error_share));
  setText(byId("v-p50"), span(engine.p50_ms));
  setText(byId("v-p95"), span(engine.p95_ms));
  setText(byId("v-hour"), dollars(engine.cost_per_hour_nusd));
  setText(byId("v-today"), dollars(engine.cost_today_nusd));
  setText(byId("v-unknown"), engine.unknown_cost_today ? `+${count(engine.unknown_cost_today)} unknown` : "");
  setText(byId("endpoint"), engine.url);
  const warnings = warningsOf(engine);
  const box = byId("warnings");
  box.hidden = warnings.length === 0;
  const text = warnings.join("\n");
  if (box.dataset.text !== text) {
    box.dataset.text = text;
    box.replaceChildren(...warnings.map((line) => el("li", {}, `▲ ${line}`)));
  }
}

const paces = [];

/** The last minute of requests/s as a line from zero to its own maximum. */
function drawSpark(perSecond) {
  paces.push(perSecond);
  if (paces.length > 60) paces.shift();
  const top = Math.max(...paces, 0.1);
  const first = 60 - paces.length;
  const points = paces.map((value, i) => `${(((first + i) / 59) * 56).toFixed(1)},${(15 - (value / top) * 14).toFixed(1)}`);
  if (paces.length > 4) byId("spark-line").setAttribute("points", points.join(" "));
}

function warningsOf(engine) {
  const lines = engine.config_problems.map((problem) => `Config on disk is not applied: ${problem}`);
  lines.push(...engine.warnings);
  if (engine.recorder_lag_ms > 2000) lines.push(`Records are ${span(engine.recorder_lag_ms)} behind.`);
  for (const [buffer, dropped] of Object.entries(engine.dropped)) {
    if (dropped) lines.push(`${buffer}: ${count(dropped)} dropped since start`);
  }
  return lines;
}

/** Live sessions; a click filters the table by one. */
export class SessionPanel {
  constructor(filterBy) {
    this.sessions = new Map();
    this.rows = new KeyedRows(byId("sessions"), {
      make: (session) => twoLineRow(3, () => filterBy(`session:${quoted(session.id)}`)),
      update: (row, session) => {
        const glyph = session.in_flight ? "▶" : "○";
        setText(row.main, `${glyph} ${session.title || session.id}`);
        setText(row.sub, `${session.client} · ${session.key_name} · ${clock(session.last_at)}`);
        setText(row.figures[0], String(session.requests));
        const isUnpaid = session.cost_nusd === 0 && session.requests <= session.in_flight;
        setText(row.figures[1], isUnpaid ? NONE : money(session.cost_nusd, session.price_state));
        setAttr(row, "class", session.in_flight ? "busy" : null);
        setAttr(row.main, "title", session.title ? session.id : null);
      },
    });
  }

  reset(sessions) {
    this.sessions = new Map(sessions.map((session) => [session.id, session]));
    this.draw();
  }

  draw() {
    const latest = [...this.sessions.values()].sort((a, b) => b.last_at - a.last_at);
    for (const old of latest.splice(200)) this.sessions.delete(old.id);
    this.rows.show(latest.slice(0, MOST_SESSIONS), (session) => session.id);
    setText(byId("sessions-count"), String(this.sessions.size));
    byId("sessions-none").hidden = this.sessions.size > 0;
    byId("sessions-table").hidden = this.sessions.size === 0;
  }
}

/** Deployments with their health; a click filters the table by one. */
export class DeploymentPanel {
  constructor(filterBy) {
    this.deployments = new Map();
    this.rows = new KeyedRows(byId("deployments"), {
      make: (view) => twoLineRow(4, () => filterBy(`model:${quoted(view.key)}`)),
      update: (row, view) => {
        const { glyph, word, tone } = healthOf(view);
        setText(row.main, view.key);
        setText(row.sub, `${view.provider} · ${view.model}${view.in_flight ? ` · ${view.in_flight} in flight` : ""}`);
        setText(row.figures[0], `${glyph} ${word}`);
        setAttr(row.figures[0], "class", `state tone-${tone}`);
        setText(row.figures[1], span(view.p95_ms));
        setText(row.figures[2], share(view.error_rate));
        setAttr(row.main, "title", view.last_error || null);
      },
    });
  }

  reset(deployments) {
    this.deployments = new Map(deployments.map((view) => [view.key, view]));
    this.draw();
  }

  draw() {
    this.rows.show([...this.deployments.values()], (view) => view.key);
    setText(byId("deployments-count"), String(this.deployments.size));
    byId("deployments-none").hidden = this.deployments.size > 0;
    byId("deployments-table").hidden = this.deployments.size === 0;
  }
}

/** The last notices, newest first. */
export class NoticePanel {
  constructor() {
    this.list = byId("notices");
  }

  add(notice) {
    const glyph = { info: "●", warn: "▲", error: "✗" }[notice.severity] ?? "●";
    const tone = { info: "off", warn: "warn", error: "bad" }[notice.severity] ?? "off";
    const text = notice.request_id ? el("a", { href: `/ui/requests/${encodeURIComponent(notice.request_id)}` }, notice.text) : notice.text;
    this.list.prepend(
      el("li", {}, el("span", { class: `tone-${tone}` }, `${glyph} `), el("time", {}, clock(notice.at)), " ", text),
    );
    while (this.list.children.length > MOST_NOTICES) this.list.lastElementChild.remove();
    byId("notices-panel").hidden = false;
  }
}

/** How to point clients here: one block to paste per client. */
export function showFirstRun(firstRun) {
  byId("connections").replaceChildren(
    ...firstRun.connections.map(({ name, lines, note }) => {
      const text = lines.join("\n");
      return el(
        "li",
        {},
        el("div", { class: "client" }, el("h3", {}, name), text ? copyButton("copy", () => text) : null),
        text ? el("pre", { tabindex: "0", role: "group", "aria-label": `Lines for ${name}` }, text) : null,
        note ? el("p", { class: "muted" }, note) : null,
      );
    }),
  );
  byId("found").replaceChildren(...firstRun.found.map((clause) => el("li", {}, clause)));
  byId("found-box").hidden = firstRun.found.length === 0;
}

function twoLineRow(columns, onpick) {
  const main = el("button", { type: "button", class: "pick", onclick: onpick });
  const sub = el("span", { class: "sub" });
  const figures = Array.from({ length: columns - 1 }, () => el("td", { class: "num" }));
  const row = el("tr", {}, el("th", { scope: "row" }, main, sub), ...figures);
  return Object.assign(row, { main, sub, figures });
}

const quoted = (text) => (/^[\w./-]+$/.test(text) ? text : `"${text.replaceAll('"', "")}"`);
