// Requests to the server. What they throw says what can be done: SignedOut, Unreachable, or Refused by the server.

export class Unreachable extends Error {}
export class SignedOut extends Error {}
export class OtherPerson extends Error {}
export class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.body = body;
  }
}

const SECONDS_TO_ANSWER = 20;
let token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

async function send(method, path, body, keepalive) {
  const request = { method, credentials: "same-origin", cache: "no-store", redirect: "error", keepalive };
  if (!keepalive) request.signal = AbortSignal.timeout(SECONDS_TO_ANSWER * 1000);
  if (body !== undefined) {
    request.headers = { "Content-Type": "application/json", "X-CSRF-Token": token };
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    throw new Unreachable("The server does not answer.", { cause: error });
  }
  if (response.status === 401) throw new SignedOut("You are signed out.");
  let answer = {};
  try {
    answer = await response.json();
  } catch (error) {
    if (response.ok) throw new Unreachable("The answer was cut off.", { cause: error });
  }
  if (response.status >= 500 || response.status === 408 || response.status === 429) {
    throw new Unreachable(answer.error ?? `The server answered ${response.status}.`);
  }
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

// Signing in again, in another tab too, makes a new token; it stands in the page itself.
async function renewToken() {
  let text;
  try {
    const response = await fetch("/rank", { cache: "no-store", credentials: "same-origin" });
    if (response.url && new URL(response.url).pathname === "/login") throw new SignedOut("You are signed out.");
    text = await response.text();
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    throw new Unreachable("The server does not answer.", { cause: error });
  }
  const page = new DOMParser().parseFromString(text, "text/html");
  const person = page.querySelector("main")?.dataset.annotator;
  if (person === undefined) throw new SignedOut("You are signed out.");
  if (person !== document.querySelector("main").dataset.annotator) {
    throw new OtherPerson("Somebody else has signed in on this browser.");
  }
  token = page.querySelector('meta[name="csrf-token"]').content;
}

async function call(method, path, body, { keepalive = false } = {}) {
  try {
    return await send(method, path, body, keepalive);
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== "stale_page") throw error;
    await renewToken();
    return send(method, path, body, keepalive);
  }
}

// Leases run from when an item came.
const stamped = (item) => item && { ...item, received_at: performance.now() };

export const next = async (besides) => stamped((await call("GET", `/api/next?besides=${besides.join(",")}`)).item);
export const item = async (id) => stamped((await call("GET", `/api/items/${id}`)).item);
export const saveDraft = (id, draft, options) => call("POST", `/api/items/${id}/draft`, draft, options);
export const renewLease = (id) => call("POST", `/api/items/${id}/lease`, {});
export async function submit(id, judgement) {
  const answer = await call("POST", `/api/items/${id}/judgement`, judgement);
  return { ...answer, next: stamped(answer.next) };
}
export const difference = (id, a, b) => call("GET", `/api/items/${id}/diff?a=${a}&b=${b}`);
export const raw = async (id, what, number) => (await call("GET", `/api/items/${id}/raw?${what}=${number}`)).html;
export const history = (before) => call("GET", `/api/history${before ? `?before=${before}` : ""}`);
export const progress = () => call("GET", "/api/progress");
export const guideline = () => call("GET", "/api/guideline");
