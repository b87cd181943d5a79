// The Live page: a snapshot, then the events after it, folded into the table and the panels.

import { Feed, get, post } from "./api.js";
import { byId, el, setAttr, setText } from "./dom.js";
import { count } from "./format.js";
import { DeploymentPanel, NoticePanel, SessionPanel, showEngine, showFirstRun } from "./panels.js";
import { RequestTable } from "./requests.js";

const PAGE = 200;
const REFRESH_MS = 15_000;
const RETRY_MS = 1500;
const EARLY_EVENTS = 4000;

const table = new RequestTable(byId("requests"));
const sessions = new SessionPanel(filterBy);
const deployments = new DeploymentPanel(filterBy);
const notices = new NoticePanel();
const filter = byId("filter");

let seq = null; // The snapshot's number; null until it is here.
let early = []; // Events that came before the snapshot.
let query = "";
let frozen = null; // While frozen: the latest view per request, to be shown later.
let total = 0;
let drawing = 0;
let isConnectOpen = false;

const feed = new Feed({ onevents: take, onhide: hide, onstate: showConnection, onopen: load });

async function load() {
  if (seq !== null) return;
  try {
    const [snapshot, page] = await Promise.all([get("/admin/snapshot"), query ? find(query) : null]);
    seq = snapshot.seq;
    feed.last ??= seq;
    total = snapshot.engine.requests_total;
    showEngine(snapshot.engine);
    sessions.reset(snapshot.sessions);
    deployments.reset(snapshot.deployments);
    showFirstRun(snapshot.first_run);
    if (frozen === null) table.replace((page ? page.requests : snapshot.requests).slice(0, PAGE));
    const held = early;
    early = [];
    take(held.filter((event) => event.seq > seq));
    document.body.dataset.ready = "yes";
    summarise();
  } catch {
    setTimeout(load, RETRY_MS); // Half an engine: the stream is open, the snapshot failed.
  }
}

function take(events) {
  if (seq === null) {
    early = [...early, ...events].slice(-EARLY_EVENTS);
    return;
  }
  const changed = [];
  for (const event of events) {
    switch (event.type) {
      case "request":
        changed.push(event.request);
        break;
      case "session":
        sessions.sessions.set(event.session.id, event.session);
        break;
      case "session_ended":
        sessions.sessions.delete(event.session_id);
        break;
      case "deployment":
        deployments.deployments.set(event.deployment.key, event.deployment);
        break;
      case "deployment_removed":
        deployments.deployments.delete(event.key);
        break;
      case "engine":
        total = event.engine.requests_total;
        showEngine(event.engine);
        break;
      case "notice":
        notices.add(event);
        break;
      case "gap":
        seq = null;
        load();
        return;
    }
  }
  if (frozen !== null) {
    for (const view of changed) frozen.set(view.id, view);
  } else if (changed.length) {
    table.upsert(changed);
  }
  draw();
}

function hide(ids) {
  if (frozen === null) table.remove(ids);
  else for (const id of ids) frozen.delete(id);
  draw();
}

/** Panels and counts follow once per frame, however many events came. */
function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    sessions.draw();
    deployments.draw();
    summarise();
  });
}

function summarise() {
  const isEmpty = table.size === 0 && !query && frozen === null;
  byId("first-run").hidden = !(isEmpty || isConnectOpen);
  byId("table-box").hidden = isEmpty;
  setText(byId("first-run-title"), isEmpty ? "No traffic yet. Point a client here:" : "Point a client here");
  setAttr(byId("connect"), "aria-expanded", String(isEmpty || isConnectOpen));
  byId("nothing").hidden = !(query && table.size === 0);
  const shown = table.size >= PAGE ? `latest ${count(table.size)}` : count(table.size);
  setText(byId("count"), query ? `${shown} match` : `${shown} of ${count(Math.max(total, table.size))}`);
  const waiting = frozen === null ? 0 : [...frozen.keys()].filter((id) => !table.has(id)).length;
  setText(byId("freeze"), frozen === null ? "‖ Freeze" : `▶ Resume · +${count(waiting)} new`);
}

function showConnection(state) {
  const words = { live: "● live", connecting: "◌ connecting", offline: "✗ offline, retrying" };
  setText(byId("connection"), frozen !== null && state === "live" ? "‖ frozen" : words[state]);
  setAttr(byId("connection"), "data-state", state);
}

function toggleFreeze() {
  if (frozen === null) {
    frozen = new Map();
  } else {
    const views = [...frozen.values()];
    frozen = null;
    table.upsert(views);
  }
  setAttr(byId("freeze"), "aria-pressed", String(frozen !== null));
  document.body.classList.toggle("frozen", frozen !== null);
  showConnection(byId("connection").dataset.state);
  summarise();
}

const find = (text) => get(`/admin/requests?${new URLSearchParams({ q: text, limit: PAGE })}`);

/** Applies a filter: rows that match now, then only changes of such rows. */
async function applyFilter(text) {
  let page = null;
  try {
    page = await find(text);
  } catch (error) {
    showFilterError(error.message);
    if (seq === null) feed.open("");
    return;
  }
  if (text !== filter.value.trim()) return; // Typing went on meanwhile.
  showFilterError("");
  if (frozen !== null) toggleFreeze();
  query = text;
  history.replaceState(null, "", text ? `?${new URLSearchParams({ q: text })}` : location.pathname);
  table.replace(page.requests);
  feed.open(query);
  summarise();
}

function showFilterError(message) {
  setText(byId("filter-error"), message);
  setAttr(filter, "aria-invalid", message ? "true" : null);
}

function filterBy(text) {
  filter.value = text;
  applyFilter(text);
}

let typing = 0;
filter.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => applyFilter(filter.value.trim()), 180);
});

byId("freeze").addEventListener("click", toggleFreeze);
byId("help-open").addEventListener("click", () => byId("help").showModal());
byId("connect").addEventListener("click", () => {
  isConnectOpen = !isConnectOpen;
  summarise();
});
byId("logout").addEventListener("click", async () => {
  await post("/ui/logout");
  location.replace("/ui/login");
});

byId("try").addEventListener("click", async () => {
  const note = byId("try-note");
  byId("try").disabled = true;
  setText(note, "Sending…");
  try {
    const reply = await post("/admin/test-request");
    const link = el("a", { href: `/ui/requests/${encodeURIComponent(reply.request_id)}` }, "see why");
    const isWell = reply.status < 400;
    note.replaceChildren(`${isWell ? "✓" : "✗"} ${reply.status} `, el("q", {}, reply.text.slice(0, 160)), " ", isWell ? link : "");
  } catch (error) {
    setText(note, `✗ ${error.message}`);
  }
  byId("try").disabled = false;
});

function move(step) {
  const links = [...byId("requests").querySelectorAll("a")];
  const at = links.indexOf(document.activeElement);
  const next = links[Math.min(Math.max(at + step, 0), links.length - 1)];
  next?.focus();
  next?.closest("tr").scrollIntoView({ block: "nearest" });
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  " ": toggleFreeze,
  z: () => filterBy(query === "state:error" ? "" : "state:error"),
  "/": () => filter.focus(),
  "?": () => byId("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (event.target === filter) {
    if (event.key === "Escape") filter.value ? filterBy("") : filter.blur();
    return;
  }
  const isOnControl = event.target.closest("input, button, textarea, select, summary");
  const act = KEYS[event.key];
  if (!act || (isOnControl && event.key === " ")) return;
  event.preventDefault();
  act();
});

setInterval(async () => {
  const asked = query;
  if (!asked.includes("since") || frozen !== null || document.hidden) return;
  const page = await find(asked);
  if (asked === query && frozen === null) table.replace(page.requests);
}, REFRESH_MS);

filter.value = new URLSearchParams(location.search).get("q") ?? "";
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
if (filter.value.trim()) applyFilter(filter.value.trim());
else feed.open();
