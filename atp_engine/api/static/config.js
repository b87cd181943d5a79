// The config as text: checked while one types, what it would do, applying it, its history and the way back.

import { get, post } from "./api.js";
import { byId, confirmed, el, setAttr, setText } from "./dom.js";
import { age, moment } from "./format.js";
import { act, every, may, tell } from "./shell.js";

const CHECK_MS = 350;
const REFRESH_MS = 3_000;
const VERSIONS = 30;

const text = byId("text");
const isEditor = may("admin");

let live = null; // The text on the disk that editing began from, and its digest.
let liveVersion = 0;
let checked = ""; // The text that the shown report is about.
let report = null;
let typing = 0;
let shownHistory = "";

const isChanged = () => live !== null && text.value !== live.text;

async function load() {
  const found = await get("/admin/config/text?version=0");
  const [main, ...others] = found.files;
  live = { text: main.text, digest: found.digest };
  text.value = main.text;
  text.readOnly = false;
  setText(byId("file"), main.name);
  setText(byId("also"), others.length ? `Part of the config too: ${others.map((file) => file.name).join(", ")}. They are edited as files.` : "");
  byId("also").hidden = others.length === 0;
  report = null;
  drawLines();
  draw();
}

/** Who may not see texts sees what is in effect, credentials left out. */
async function loadEffective() {
  const config = await get("/admin/config");
  text.value = JSON.stringify(config.effective, null, 2);
  setText(byId("file"), "In effect");
  setText(byId("state"), "‖ read-only: texts need the admin role");
  drawLines();
}

async function check() {
  const wanted = text.value;
  if (!isChanged()) {
    report = null;
    checked = wanted;
    return draw();
  }
  try {
    const found = await post("/admin/config/check", { text: wanted });
    if (wanted !== text.value) return; // Typing went on meanwhile.
    report = found;
    checked = wanted;
    tell("");
  } catch (error) {
    tell(`✗ ${error.message}`);
  }
  draw();
}

function draw() {
  const isFresh = report !== null && checked === text.value;
  const [word, tone] = verdict(isFresh);
  setText(byId("state"), word);
  setAttr(byId("state"), "class", `badge tone-${tone}`);
  byId("apply").disabled = !(isFresh && report.is_valid);
  byId("reset").disabled = !isChanged();
  setAttr(text, "aria-invalid", report && !report.is_valid ? "true" : null);
  byId("problems").replaceChildren(...(report ? [...report.problems.map(problemLine), ...report.warnings.map(warningLine)] : []));
  byId("changes").replaceChildren(...(report?.changes ?? []).map(changeLine));
  const notes = report?.is_valid ? [replayText(report.replay), report.waits].filter(Boolean) : [];
  setText(byId("replay"), report ? notes.join(" ") : "Nothing is changed.");
  byId("replay").hidden = report !== null && notes.length === 0;
}

function verdict(isFresh) {
  if (!isChanged()) return ["✓ as on the disk", "ok"];
  if (!isFresh) return ["◌ checking", "off"];
  const count = report.problems.length;
  return report.is_valid ? ["● changed, valid", "live"] : [`✗ ${count} problem${count === 1 ? "" : "s"}`, "bad"];
}

function problemLine(problem) {
  const button = el("button", { type: "button", class: "pick tone-bad" }, `✗ ${problem.line ? `${problem.line}:${problem.column} ` : ""}${[problem.key, problem.message].filter(Boolean).join(": ")}`);
  button.addEventListener("click", () => show(problem.line, problem.column));
  return el("li", {}, button, problem.hint ? el("span", { class: "sub" }, problem.hint) : null);
}

const warningLine = (warning) => el("li", { class: "tone-warn" }, `▲ ${warning}`);
const changeText = ({ what, name, verb, detail }) => [[what, name, verb].filter(Boolean).join(" "), detail].filter(Boolean).join(": ");
const changeLine = (change) => el("li", {}, `± ${changeText(change)}`);

function replayText({ requests, differing, routes }) {
  if (!requests) return "There are no recorded requests to try it on.";
  const share = ((100 * differing) / requests).toFixed(1);
  const most = routes.slice(0, 3).map((route) => `${route.asked}: ${route.before} → ${route.after}`);
  return [`${share}% of the last ${requests} requests would be routed differently.`, ...most].join(" ");
}

/** Puts the cursor at a place of the text and the place into view. */
function show(line, column) {
  if (!line) return;
  const before = text.value.split("\n").slice(0, line - 1).join("\n");
  const at = before.length + (line > 1 ? 1 : 0) + Math.max(column - 1, 0);
  text.focus();
  text.setSelectionRange(at, at);
  const height = text.scrollHeight / Math.max(text.value.split("\n").length, 1);
  text.scrollTop = Math.max(0, (line - 5) * height);
}

function drawLines() {
  const lines = text.value.split("\n").length;
  if (byId("lines").dataset.lines === String(lines)) return;
  byId("lines").dataset.lines = String(lines);
  byId("lines").textContent = Array.from({ length: lines }, (_, at) => at + 1).join("\n");
}

async function apply() {
  const dialog = byId("applying");
  byId("applying-changes").replaceChildren(...report.changes.map(changeLine));
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "yes") return "";
  const guard = byId("guard").value;
  const applied = await post("/admin/config/apply", { text: text.value, base: live.digest, reason: byId("reason").value.trim(), guard });
  byId("reason").value = "";
  await load();
  await refresh();
  return [`✓ Version ${applied.version} is live.`, applied.report.waits, applied.guard_s ? `It is watched for ${age(applied.guard_s)}.` : ""].filter(Boolean).join(" ");
}

async function rollBack(version) {
  const what = `The text of version ${version.number} (${moment(version.at)}) is written to the file and made live.`;
  if (!(await confirmed(`Roll back to version ${version.number}?`, what, "Roll back"))) return "";
  const applied = await post("/admin/config/rollback", { version: version.number, reason: "rolled back in the dashboard" });
  await load();
  await refresh();
  return `✓ Version ${applied.version} is live, with the text of version ${version.number}.`;
}

async function showDiff(version) {
  const { text: difference } = await get(`/admin/config/diff?before=${version.number}&after=${liveVersion}`);
  setText(byId("diff-title"), `From version ${version.number} to ${liveVersion}, the live one`);
  const lines = difference ? difference.split("\n") : ["No difference."];
  const tone = { "+": "tone-ok", "-": "tone-bad", "@": "muted" };
  byId("diff").replaceChildren(...lines.map((line) => el("span", { class: tone[line[0]] ?? null }, `${line}\n`)));
  byId("diff-panel").hidden = false;
  byId("diff-panel").scrollIntoView({ block: "nearest" });
}

function versionLine(version) {
  const acts = el("span", { class: "tools" });
  const add = (label, work) => {
    const button = el("button", { type: "button", class: "small" }, label);
    button.addEventListener("click", () => act(button, work));
    acts.append(button);
  };
  if (isEditor && !version.is_current) add("Diff", () => showDiff(version));
  if (isEditor && !version.is_current && version.outcome === "live") add("Roll back…", () => rollBack(version));
  const outcome = version.is_current ? "● live" : version.outcome === "live" ? "" : `○ ${version.outcome}`;
  return el(
    "li",
    { class: version.is_current ? "chosen" : null },
    el("span", { class: "words" }, el("b", {}, `v${version.number} `), `${outcome} `, el("span", { class: "muted" }, `${moment(version.at)} · ${version.author}`)),
    acts,
    el("span", { class: "sub" }, [version.reason, ...version.changes].filter(Boolean).join(" · ")),
  );
}

const refresh = every(REFRESH_MS, async () => {
  const [history, config] = await Promise.all([get(`/admin/config/history?limit=${VERSIONS}`), get("/admin/config")]);
  liveVersion = history.current;
  setText(byId("version"), `v${config.version} is live`);
  setText(byId("problems-live"), config.problems.length ? `The file on the disk is not live: ${config.problems.join(" · ")}` : "");
  byId("problems-live").hidden = config.problems.length === 0;
  const mark = history.versions.map((version) => `${version.number}${version.outcome}${version.is_current}`).join();
  if (mark !== shownHistory) byId("history").replaceChildren(...history.versions.map(versionLine));
  if (live === null) await (isEditor ? load() : loadEffective());
  else if (isEditor && shownHistory && mark !== shownHistory && !isChanged()) await load();
  shownHistory = mark;
});

text.addEventListener("input", () => {
  drawLines();
  draw();
  clearTimeout(typing);
  typing = setTimeout(check, CHECK_MS);
});
text.addEventListener("scroll", () => (byId("lines").scrollTop = text.scrollTop));
byId("reset").addEventListener("click", () => {
  text.value = live.text;
  drawLines();
  check();
});
byId("apply").addEventListener("click", async () => {
  await act(byId("apply"), apply);
  draw();
});
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key !== "s") return;
  event.preventDefault();
  if (!byId("apply").disabled) byId("apply").click();
});
addEventListener("beforeunload", (event) => {
  if (isEditor && isChanged()) event.preventDefault();
});
