/** The page of `glyffuser label`: shows a pair, takes a choice by key, click or tap, and shows the next one. */
import { get } from "./dom";
import { ACTIONS, KEYS, said, type Action, type Shown } from "./choices";

const POLL = 300; // milliseconds between looks while a pair is being drawn

const page = document.body;
const status = get("status");
const pictures = [get<HTMLImageElement>("left-picture"), get<HTMLImageElement>("right-picture")];
const buttons = Object.fromEntries(ACTIONS.map((name) => [name, get<HTMLButtonElement>(name)])) as Record<Action, HTMLButtonElement>;

let shown: Shown | null = null;
let busy = false;
let note = ""; // about the last thing that was done

function show(now: Shown): void {
  shown = now;
  const { prompt, pictures: drawn } = now;
  page.dataset.state = prompt === null ? "done" : drawn === null ? "drawing" : "shown";
  page.dataset.pair = String(now.pair);
  get("meaning").textContent = prompt ?? "All pairs are labelled";
  get("count").textContent = now.limit === null ? `${now.labelled} labelled` : `${now.labelled} of ${now.limit} labelled`;
  get("file").textContent = now.file;
  pictures.forEach((picture, k) => {
    if (drawn === null) picture.removeAttribute("src");
    else picture.src = drawn[k];
    picture.alt = prompt === null ? "" : `the ${k === 0 ? "left" : "right"} glyph for ${prompt}`;
  });
  for (const name of ["left", "right", "bad"] as const) buttons[name].disabled = drawn === null;
  buttons.undo.disabled = now.labelled === 0;
  const doing = page.dataset.state === "drawing" ? "The next pair is being drawn." : "";
  const text = [note, doing].filter(Boolean).join(" ");
  if (status.textContent !== text) status.textContent = text; // or a screen reader would say it again
}

function fail(reason: string): void {
  page.dataset.state = "failed";
  status.textContent = reason;
}

async function ask(path: string, wish?: object): Promise<Shown> {
  const how = wish && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) };
  let answer: Response;
  try {
    answer = await fetch(path, how);
  } catch {
    throw new Error("The server does not answer: start the same command again, and reload this page. What you chose before is kept.");
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found as Shown;
}

async function look(): Promise<void> {
  while (!busy && (shown === null || page.dataset.state === "drawing")) {
    try {
      const now = await ask("pair");
      if (busy) return; // a choice was made meanwhile; its answer is newer
      show(now);
    } catch (error) {
      return fail((error as Error).message);
    }
    await new Promise((done) => setTimeout(done, POLL));
  }
}

async function act(action: Action): Promise<void> {
  if (busy || shown === null || buttons[action].disabled) return;
  busy = true;
  const wish = { pair: shown.pair };
  try {
    const now = await (action === "undo" ? ask("undo", wish) : ask("choice", { ...wish, choice: action }));
    note = said(action, now);
    show(now);
  } catch (error) {
    fail((error as Error).message);
  }
  busy = false;
  void look();
}

for (const name of ACTIONS) buttons[name].addEventListener("click", () => void act(name));
document.addEventListener("keydown", (event) => {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault(); // arrows would scroll
  if (!event.repeat) void act(action); // a key held down is one choice
});
void look();
