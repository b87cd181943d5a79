// Client keys, budgets and admin tokens: what there is, and making, rotating and revoking.

import { get, post } from "./api.js";
import { KeyedRows, byId, confirmed, copyButton, el, setAttr, setText } from "./dom.js";
import { NONE, age, count, dollars, moment, tokens } from "./format.js";
import { act, every, may } from "./shell.js";

const REFRESH_MS = 2_000;

function stateOf({ revoked_at, expires_at }) {
  if (revoked_at) return ["⊘", "revoked", "off"];
  if (expires_at && expires_at * 1000 < Date.now()) return ["○", "ended", "off"];
  return ["●", "active", "ok"];
}

const isActive = (item) => stateOf(item)[1] === "active";
const list = (names) => names.join(", ") || "everything";

/** Why a secret does not count any more, or when it will not. */
function ends({ revoked_at, expires_at }) {
  if (revoked_at) return moment(revoked_at);
  return expires_at ? moment(expires_at) : "never";
}

function budget(window) {
  const limits = [
    window.max_usd === null ? "" : dollars(window.max_usd * 1e9),
    window.max_tokens === null ? "" : `${tokens(window.max_tokens)} tokens`,
    window.max_parallel === null ? "" : `${window.max_parallel} at once`,
    window.requests_per_minute === null ? "" : `${window.requests_per_minute}/min`,
  ];
  return `${limits.filter(Boolean).join(", ")} per ${window.period}`;
}

const limitsOf = (key) =>
  [key.requests_per_minute ? `${key.requests_per_minute} requests/min` : "", ...key.windows.map(budget)].filter(Boolean);

const keys = new KeyedRows(byId("keys"), {
  make: (key) => {
    const row = cells(key, 7);
    if (may("admin")) row.acts.append(actButton("Rotate…", () => rotate(row.item)), actButton("Revoke…", () => revoke(row.item), "danger"));
    return row;
  },
  update: (row, key) => {
    row.item = key;
    show(row, key, [key.project || NONE, key.qos, limitsOf(key).join(" · ") || "none"]);
    setText(row.figures[4], [list(key.routes), key.models.length ? `by ${list(key.models)}` : ""].filter(Boolean).join(" "));
    setText(row.figures[5], ends(key));
    setText(row.sub, [key.shown_as, ...key.tags].join(" · "));
  },
});

const adminTokens = new KeyedRows(byId("tokens"), {
  make: (token) => {
    const row = cells(token, 4);
    row.acts.append(actButton("Revoke…", () => revokeToken(row.item), "danger"));
    return row;
  },
  update: (row, token) => {
    row.item = token;
    show(row, token, [token.role, ends(token)]);
    setText(row.sub, token.shown_as);
  },
});

/** A row: name with a line below it, state, further columns, acts. */
function cells(item, columns) {
  const main = el("span", { class: "served" });
  const sub = el("span", { class: "sub mono" });
  const figures = Array.from({ length: columns - 1 }, () => el("td", {}));
  const acts = el("td", { class: "acts" });
  const row = el("tr", {}, el("th", { scope: "row" }, main, sub), ...figures, acts);
  return Object.assign(row, { item, main, sub, figures, acts });
}

function show(row, item, texts) {
  const [glyph, word, tone] = stateOf(item);
  setText(row.main, item.name);
  setText(row.figures[0], `${glyph} ${word}`);
  setAttr(row.figures[0], "class", `tone-${tone}`);
  texts.forEach((text, at) => setText(row.figures[at + 1], text));
  for (const button of row.acts.children) button.hidden = !isActive(item);
  setAttr(row, "class", isActive(item) ? null : "out");
}

function actButton(label, work, kind = "") {
  const button = el("button", { type: "button", class: `small ${kind}` }, label);
  button.addEventListener("click", () => act(button, work));
  return button;
}

const windows = new KeyedRows(byId("windows"), {
  make: () => {
    const figures = Array.from({ length: 8 }, (_, at) => el("td", { class: at >= 3 && at <= 5 ? "num" : null }));
    const meter = el("meter", { min: 0, max: 1, low: 0.8, high: 0.95, optimum: 0 });
    const percent = el("span", {});
    figures[2].append(meter, " ", percent);
    const head = el("th", { scope: "row" });
    return Object.assign(el("tr", {}, head, ...figures), { head, figures, meter, percent });
  },
  update: (row, window) => {
    const [of, per, , money, used, flight, exceed, free] = row.figures;
    const share = window.share ?? 0;
    setText(row.head, window.name);
    setText(of, window.scope === "everything" ? "everything" : `${window.scope} ${window.subject}`);
    setText(per, window.period.replace("_", " "));
    row.meter.value = Math.min(share, 1);
    setAttr(row.meter, "aria-label", `${Math.round(share * 100)} percent used`);
    setText(row.percent, `${share >= 1 ? "✗" : share >= 0.8 ? "▲" : "●"} ${Math.round(share * 100)}%`);
    setAttr(row.percent, "class", share >= 0.95 ? "tone-bad" : share >= 0.8 ? "tone-warn" : "tone-ok");
    setText(money, held(window.used_nusd, window.reserved_nusd + window.in_doubt_nusd, window.max_nusd, dollars));
    setText(used, held(window.used_tokens, window.reserved_tokens + window.in_doubt_tokens, window.max_tokens, tokens));
    setText(flight, window.max_parallel === null ? String(window.in_flight) : `${window.in_flight} of ${window.max_parallel}`);
    setText(exceed, window.on_exceed.replace("_", " "));
    setText(free, window.frees_at === null ? NONE : `in ${age(window.frees_at - Date.now() / 1000)}`);
  },
});

/** `$1.20 +$0.03 held of $5.00` */
function held(used, reserved, limit, shown) {
  if (limit === null && !used && !reserved) return NONE;
  return [shown(used), reserved ? `+${shown(reserved)} held` : "", limit === null ? "" : `of ${shown(limit)}`].filter(Boolean).join(" ");
}

const refresh = every(REFRESH_MS, async () => {
  const [found, limits, admins] = await Promise.all([
    get("/admin/keys"),
    get("/admin/windows"),
    may("admin") ? get("/admin/tokens") : [],
  ]);
  keys.show(found, (key) => key.id);
  windows.show(limits, (window) => `${window.name}\n${window.subject}\n${window.period}`);
  adminTokens.show(admins, (token) => token.id);
  setText(byId("keys-count"), count(found.filter(isActive).length));
  setText(byId("windows-count"), count(limits.length));
  byId("keys-none").hidden = found.length > 0;
  byId("windows-none").hidden = limits.length > 0;
  byId("tokens-none").hidden = admins.length > 0;
});

function showSecret(title, secret) {
  setText(byId("made-title"), title);
  setText(byId("secret"), secret);
  const close = el("button", { type: "button", class: "small" }, "I have it");
  close.addEventListener("click", () => {
    byId("made").hidden = true;
    setText(byId("secret"), "");
  });
  byId("secret-tools").replaceChildren(copyButton("copy", () => secret), close);
  byId("made").hidden = false;
  byId("made").scrollIntoView({ block: "nearest" });
}

async function rotate(key) {
  const text = "The old secret ends at once; whoever holds it is refused until they have the new one.";
  if (!(await confirmed(`Rotate key ${key.name}?`, text, "Rotate it"))) return "";
  const made = await post(`/admin/keys/${key.id}/rotate`);
  showSecret(`New secret of ${made.key.name}`, made.secret);
  await refresh();
  return `✓ ${key.name} has a new secret.`;
}

async function revoke(key) {
  if (!(await confirmed(`Revoke key ${key.name} (${key.shown_as})?`, "It ends at once and cannot be brought back.", "Revoke it"))) return "";
  await post(`/admin/keys/${key.id}/revoke`);
  await refresh();
  return `✓ ${key.name} is revoked.`;
}

async function revokeToken(token) {
  if (!(await confirmed(`Revoke admin token ${token.name}?`, "Whoever holds it is logged out at once.", "Revoke it"))) return "";
  await post(`/admin/tokens/${token.id}/revoke`);
  await refresh();
  return `✓ ${token.name} is revoked.`;
}

const names = (text) => text.split(/[\s,]+/).filter(Boolean);
const number = (text) => (text === "" ? null : Number(text));

function wish(form) {
  const said = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
  const days = number(said.days);
  const window = {
    period: said.period,
    max_usd: number(said.max_usd),
    max_tokens: number(said.max_tokens),
    on_exceed: said.on_exceed,
  };
  return {
    name: said.name,
    project: said.project,
    qos: said.qos,
    requests_per_minute: number(said.requests_per_minute) ?? 0,
    expires_in_s: days === null ? null : days * 86_400,
    routes: names(said.routes),
    models: names(said.models),
    tags: names(said.tags),
    windows: said.period ? [window] : [],
  };
}

function toggleForm(isOpen) {
  byId("key-form").hidden = !isOpen;
  setAttr(byId("new-key"), "aria-expanded", String(isOpen));
  if (isOpen) byId("key-form").elements.name.focus();
}

if (may("admin")) {
  byId("new-key").hidden = false;
  byId("tokens-panel").hidden = false;
}
byId("new-key").addEventListener("click", () => toggleForm(byId("key-form").hidden));
byId("key-form").addEventListener("reset", () => toggleForm(false));
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  act(event.submitter, async () => {
    const made = await post("/admin/keys", wish(byId("key-form")));
    byId("key-form").reset();
    showSecret(`Key ${made.key.name} is made`, made.secret);
    await refresh();
    return "";
  });
});
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  act(event.submitter, async () => {
    const made = await post("/admin/tokens", { name: form.elements.name.value.trim(), role: form.elements.role.value });
    form.reset();
    showSecret(`Admin token ${made.token.name} is made`, made.secret);
    await refresh();
    return "";
  });
});
