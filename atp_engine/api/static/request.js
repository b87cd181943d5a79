// The page of one request: what happened, why this deployment, the figures, the bodies; live while open.

import { Feed, get, post } from "./api.js";
import { readable } from "./bodies.js";
import { byId, clean, confirmed, copyButton, el, setAttr, setText } from "./dom.js";
import { NONE, cost, count, dollars, isOpen, moment, pace, span, stateOf } from "./format.js";
import { timeline } from "./timeline.js";

const id = decodeURIComponent(location.pathname.split("/").pop());
const path = `/admin/requests/${encodeURIComponent(id)}`;
const TAIL_MS = 500;

let detail = null;
let isReading = false;
let isStale = false;

async function read() {
  if (isReading) {
    isStale = true;
    return;
  }
  isReading = true;
  try {
    detail = await get(path);
    show(detail);
  } catch (error) {
    setText(byId("missing-why"), error.status === 404 ? "No such request: it is unknown here, or its record has expired." : error.message);
    byId("missing").hidden = false;
  }
  isReading = false;
  if (isStale) {
    isStale = false;
    read();
  }
}

function show({ request, decision, attempts, ...rest }) {
  document.title = clean(`${request.asked} → ${request.served || NONE} · ATP Console`);
  byId("page").hidden = false;
  byId("missing").hidden = true;
  showHead(request, rest);
  showTimeline(request, attempts);
  showWhy(request, decision);
  showNumbers(request, rest.dropped_fields, attempts);
  showBody("request-body", rest.request_body, request.has_body);
  showBody("response-body", rest.response_body, request.has_body);
  byId("tail-panel").hidden = !isOpen(request);
  document.body.dataset.ready = "yes";
}

function showHead(request, { position, session_requests, previous_id, next_id }) {
  const { glyph, word, tone } = stateOf(request);
  setText(byId("asked"), request.asked || NONE);
  setText(byId("arrow"), request.tries > 1 ? "⇢" : "→");
  setText(byId("served"), request.state === "hit" ? "cache" : request.served || NONE);
  setText(byId("state"), `${glyph} ${word}`);
  setAttr(byId("state"), "class", `badge tone-${tone}`);
  setText(byId("took"), isOpen(request) ? "running" : span(request.duration_ms));
  setText(byId("price"), cost(request));
  byId("price").hidden = isOpen(request);
  setText(byId("tries"), request.tries === 1 ? "1 attempt" : `${request.tries} attempts`);
  const session = byId("session");
  setText(session, request.session_id || "no session");
  if (request.session_id) setAttr(session, "href", `/ui/?${new URLSearchParams({ q: `session:${request.session_id}` })}`);
  setText(byId("position"), position ? `request ${position} of ${session_requests}` : request.id);
  step("previous", previous_id);
  step("next", next_id);
  byId("cancel").hidden = !isOpen(request);
  const failure = byId("failure");
  failure.hidden = !request.error_code;
  setText(failure, request.error_code ? `✗ ${request.error_code}: ${request.error_message}` : "");
}

function step(name, target) {
  const link = byId(name);
  if (target) setAttr(link, "href", `/ui/requests/${encodeURIComponent(target)}`);
  else setAttr(link, "href", null);
  setAttr(link, "aria-disabled", target ? null : "true");
}

function showTimeline(request, attempts) {
  byId("attempts").replaceChildren(...timeline(request, attempts));
  byId("attempts-box").hidden = attempts.length === 0;
  const isRunning = isOpen(request) && request.tries > attempts.length;
  const note = isRunning ? `Attempt ${request.tries} at ${request.served || "a deployment"} is running.` : "No deployment has been called.";
  setText(byId("attempts-note"), note);
  byId("attempts-note").hidden = !isRunning && attempts.length > 0;
}

function showWhy(request, decision) {
  setText(byId("explanation"), decision ? decision.explanation : "No decision was made: the request ended before routing.");
  byId("candidates-box").hidden = !decision;
  if (!decision) return;
  setText(byId("strategy"), `route ${decision.route} · ${decision.strategy} · config v${decision.config_version}`);
  const ranked = [...decision.candidates].sort((a, b) => (a.rank || 999) - (b.rank || 999));
  byId("candidates").replaceChildren(
    ...ranked.map((candidate) => {
      const isServed = candidate.deployment === request.served;
      const place = candidate.rank ? String(candidate.rank) : NONE;
      return el(
        "tr",
        { class: isServed ? "chosen" : candidate.rank ? null : "out" },
        el("td", { class: "num" }, isServed ? `★ ${place}` : place),
        el("th", { scope: "row" }, candidate.deployment),
        el("td", { class: "name wide" }, `${candidate.provider} · ${candidate.model}`),
        el("td", { class: "num" }, candidate.score === null ? NONE : candidate.score.toFixed(2)),
        el("td", { class: "reason" }, candidate.rank ? candidate.reason : `out: ${candidate.reason}`),
      );
    }),
  );
}

function showNumbers(request, dropped, attempts) {
  const about = request.is_usage_estimated && !isOpen(request) ? "~" : "";
  const wasted = attempts.filter((attempt) => attempt.deployment !== request.served && attempt.cost_nusd > 0);
  const cached = request.cache_read_tokens ? ` (${count(request.cache_read_tokens)} cached)` : "";
  const reasoning = request.reasoning_tokens ? ` (${count(request.reasoning_tokens)} reasoning)` : "";
  const rows = [
    ["cost", isOpen(request) ? NONE : cost(request)],
    ...wasted.map((attempt) => [`paid for try ${attempt.number}`, dollars(attempt.cost_nusd)]),
    ["input", request.prompt_tokens ? `${about}${count(request.prompt_tokens)} tokens${cached}` : NONE],
    ["output", `${about}${count(request.output_tokens)} tokens${reasoning}`],
    ["first token", span(request.ttft_ms)],
    ["pace", request.tokens_per_s === null ? NONE : `${pace(request.tokens_per_s)} tok/s`],
    ["duration", span(request.duration_ms)],
    ["started", moment(request.started_at)],
    ["served by", request.served ? `${request.provider} · ${request.model}` : NONE],
    ["finish", [request.finish_reason, request.http_status ? `HTTP ${request.http_status}` : ""].filter(Boolean).join(" · ") || NONE],
    ["client", [request.client, request.key_name].filter(Boolean).join(" · ") || NONE],
    ["dialect", `${request.dialect}${request.is_stream ? ", streamed" : ""}`],
    ...(dropped.length ? [["not carried over", dropped.join(", ")]] : []),
    ["id", request.id],
  ];
  byId("numbers").replaceChildren(...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const raw = { "request-body": "", "response-body": "" };
const isReadable = { "request-body": true, "response-body": true };

function showBody(name, text, wasKept) {
  raw[name] = text ?? "";
  const box = byId(name);
  const pre = box.querySelector("pre");
  const toggle = box.querySelector(".toggle");
  const better = readable(text);
  toggle.hidden = better === null;
  setText(toggle, isReadable[name] ? "as sent" : "readable");
  setText(pre, text === null ? absent(wasKept) : isReadable[name] && better !== null ? better : text);
  setAttr(pre, "class", text === null ? "muted" : null);
}

function absent(wasKept) {
  if (detail && isOpen(detail.request)) return "Kept when the request has ended.";
  return wasKept ? "The body has expired." : "The body was not kept (storage.is_bodies_kept, or too many at once).";
}

for (const name of Object.keys(raw)) {
  const tools = byId(name).querySelector(".tools");
  const toggle = el("button", { type: "button", class: "quiet small toggle" });
  toggle.addEventListener("click", () => {
    isReadable[name] = !isReadable[name];
    showBody(name, detail[name.replace("-", "_")], detail.request.has_body);
  });
  tools.append(toggle, copyButton("copy", () => raw[name]));
}

byId("copies").append(
  copyButton("copy id", () => id),
  copyButton("copy JSON", () => JSON.stringify(detail, null, 2)),
);

byId("cancel").addEventListener("click", async () => {
  const cost = "The upstream call is closed and the client gets an error. Tokens so far are paid for.";
  if (!(await confirmed(`Cancel request ${id}?`, cost, "Cancel the request"))) return;
  const { cancelled } = await post(`${path}/cancel`);
  if (!cancelled) read();
});

async function readTail() {
  if (!detail || !isOpen(detail.request) || document.hidden) return;
  try {
    const tail = await get(`${path}/tail`);
    setText(byId("tail"), tail.text);
    setText(byId("tail-tokens"), `${count(tail.output_tokens)} tokens`);
  } catch {
    // The request has just ended; its event brings the rest.
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, dialog, pre")) return;
  if (event.key === "[") byId("previous").click();
  if (event.key === "]") byId("next").click();
  if (event.key === "Escape" && !byId("confirm").open) location.assign("/ui/");
});

const feed = new Feed({
  onopen: read,
  onhide: () => {},
  onstate: (state) => setAttr(document.body, "data-feed", state),
  onevents(events) {
    if (events.some((event) => event.type === "gap" || (event.type === "request" && event.request.id === id))) read();
  },
});
feed.open(`id:${/^[\w-]+$/.test(id) ? id : "none"}`);
setInterval(readTail, TAIL_MS);
