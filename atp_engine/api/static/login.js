// Logging in: by the launch code in the fragment (never sent as a URL) or by a pasted admin token.

import { byId } from "./dom.js";

const form = byId("login");
const field = byId("token");
const note = byId("note");

const next = new URLSearchParams(location.search).get("next") ?? "";
const target = /^\/ui\/[\w./?=&%:~-]*$/.test(next) && !next.startsWith("/ui/login") ? next : "/ui/";

async function login(credential) {
  note.textContent = "Checking…";
  try {
    const response = await fetch("/ui/login", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(credential),
    });
    if (response.ok) return location.replace(target);
    const { error } = await response.json();
    const wait = response.headers.get("retry-after");
    note.textContent = wait ? `${error.message} Try again in ${wait} s.` : error.message;
  } catch {
    note.textContent = "The engine does not answer.";
  }
  field.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const token = field.value.trim();
  if (token) login({ token });
});

const code = new URLSearchParams(location.hash.slice(1)).get("code");
history.replaceState(null, "", location.pathname + location.search);
if (code) login({ code });
