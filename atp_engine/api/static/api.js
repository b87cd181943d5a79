// The admin API as this page uses it: JSON calls with the session's cookie, and the event stream.

export class ApiError extends Error {
  constructor(status, error) {
    super(error?.message ?? `The engine answered ${status}.`);
    this.status = status;
    this.code = error?.code ?? "";
  }
}

let csrfToken = null;

export const get = (path) => call(path);

export async function post(path, body = {}) {
  csrfToken ??= (await get("/ui/session")).csrf_token;
  const headers = { "content-type": "application/json", "x-csrf-token": csrfToken };
  return call(path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function call(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", redirect: "error", ...options }).catch(() => {
    throw new ApiError(0, { message: "The engine does not answer." });
  });
  if (response.status === 401) {
    location.replace(`/ui/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    return new Promise(() => {}); // The page is leaving; nobody needs an answer.
  }
  const answer = await response.json();
  if (!response.ok) throw new ApiError(response.status, answer.error);
  return answer;
}

const RETRY_MS = 1500;
const REST_AFTER_MS = 20_000;

/** The event stream: reconnects by itself, resumes where it was, and rests while the page is hidden. */
export class Feed {
  constructor({ onevents, onhide, onstate, onopen }) {
    this.on = { onevents, onhide, onstate, onopen };
    this.query = "";
    this.last = null;
    this.source = null;
    this.timer = 0;
    document.addEventListener("visibilitychange", () => this.#visibility());
  }

  /** Listens with this filter, from where it was or from now. */
  open(query = this.query) {
    this.#close();
    this.query = query;
    const params = new URLSearchParams();
    if (query) params.set("q", query);
    if (this.last !== null) params.set("after", this.last);
    const source = new EventSource(`/admin/events?${params}`);
    this.source = source;
    this.on.onstate("connecting");
    source.onopen = () => {
      this.on.onstate("live");
      this.on.onopen();
    };
    source.onerror = () => {
      this.on.onstate("offline");
      if (source.readyState === EventSource.CLOSED) this.#again();
    };
    source.addEventListener("hide", (event) => this.on.onhide(JSON.parse(event.data)));
    source.addEventListener("batch", (event) => {
      this.last = event.lastEventId;
      this.on.onevents(JSON.parse(event.data));
    });
  }

  /** Refused or cut for good: ask who we are (an ended login leads to the login page), then try anew. */
  #again() {
    this.#close();
    this.timer = setTimeout(async () => {
      try {
        await get("/ui/session");
        this.open();
      } catch {
        this.#again();
      }
    }, RETRY_MS);
  }

  #visibility() {
    clearTimeout(this.rest);
    if (document.hidden) this.rest = setTimeout(() => this.#close(), REST_AFTER_MS);
    else if (this.source === null) this.open();
  }

  #close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
