/* The explorer: the real model in the page, and its ideas under the reader's hands. */

import { Bench, type Course, type From, type Seen } from "./bench";
import { get, painted } from "./dom";
import { Engine } from "./engine";
import type { Facts } from "./facts";
import { Lab } from "./lab";
import { floats, part, text } from "./parts";
import { Projection, Walk, character, sign, type AtlasRoot, type Place } from "./walk";

const MOST_SEED = 2 ** 32;
const COLOURS = ["--accent", "--cool"]; // of the two lanes, on the map and at their names

const say = (what: string) => (get("status").textContent = what);

class Explorer {
  private readonly bench: Bench;
  private readonly lab: Lab;
  private map: { root: AtlasRoot; walk: Walk; projection: Projection } | null = null;
  private paths: Place[][] = []; // of each lane, by step; steps that were not shown have no place
  private start: number | null = null; // of the newest drawing, unless it was stopped on its way
  private given: From[] = [];

  constructor(readonly engine: Engine) {
    this.bench = new Bench(engine, () => (this.paths = []), (seen) => this.follow(seen), (course) => this.told(course));
    this.lab = new Lab(engine, (x, sigma, { prompt, radical }) => void this.draw([{ prompt, radical, x, sigma }]));
    get("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.draw(this.asked());
    });
    get("dice").addEventListener("click", () => {
      get<HTMLInputElement>("seed").value = String(Math.floor(Math.random() * MOST_SEED));
      void this.draw(this.asked());
    });
    get("take").addEventListener("click", () => this.take());
  }

  private asked(): From[] {
    const texts = ["prompt", "prompt-2"].map((id) => get<HTMLInputElement>(id).value.trim());
    return texts.filter((text, k) => k === 0 || text).map((prompt) => ({ prompt }));
  }

  draw(from: From[]): Promise<void> {
    this.start = performance.now();
    this.given = from;
    return this.bench.draw(from);
  }

  /** Say what has become of the newest drawing; its time counts if nothing stopped it. */
  private told(course: Course): void {
    if (course === "stopped") this.start = null;
    const took = course === "drawn" && this.start !== null ? (performance.now() - this.start) / 1000 : null;
    say(took === null ? course : `drawn in ${took.toFixed(1)} s`);
    if (took !== null) document.body.dataset.seconds = String(took);
    document.body.dataset.state = course;
    if (course !== "drawn") return;
    get<HTMLButtonElement>("take").disabled = false;
    if (this.given.every(({ x }) => !x)) this.take();
  }

  /** The first lane's predicted clean glyph, to be noised by hand. */
  private take(): void {
    const view = this.bench.view(), plan = this.bench.plan();
    if (!view || !plan) return;
    void this.lab.take({ name: [`invented: “${plan.prompt}”`], prompt: plan.prompt, radical: plan.radical, x0: view.x0 });
  }

  /** Put what the lanes show on the map. */
  private follow(seen: Seen[]): void {
    if (!this.map) return;
    const { root, walk, projection } = this.map, said: (Node | string)[] = ["Nearest real character: "];
    const css = getComputedStyle(document.documentElement);
    walk.show(
      seen.map(({ view, step }, k) => {
        const { place, nearest } = projection.place(view.x0, this.engine.facts.levels.margin, root.atlas);
        const path = (this.paths[k] ??= []);
        path.length = step; // what lay beyond may change
        path[step] = place;
        said.push(k ? "; " : "", sign(root.atlas, nearest), root.atlas.definitions[nearest]);
        return { places: path.filter(Boolean), head: get<HTMLCanvasElement>(`lane-${k}-x0`), colour: css.getPropertyValue(COLOURS[k]) };
      }),
    );
    get("nearest").replaceChildren(...said);
  }

  /** The guide's map, with the walk over it; a character that is picked goes to the bench for noise. */
  async openMap(): Promise<void> {
    const root = document.querySelector<AtlasRoot>("[data-atlas]")!;
    root.querySelector("[data-atlas-data]")!.textContent = await text("atlas");
    const numbers = await floats("projection"), rows = new Int8Array((await part("features")).buffer);
    get("map-status").hidden = true;
    root.hidden = false; // before the map measures itself
    await new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = "assets/map.js";
      script.onload = done;
      script.onerror = () => failed(new Error("assets/map.js is missing; write the page again"));
      document.head.append(script);
    });
    await Promise.all(root.atlas.sheets.map((sheet) => sheet.decode()));
    this.map = { root, walk: new Walk(root, root.querySelector("[data-stage]")!), projection: new Projection(numbers, rows) };
    root.addEventListener("atlaspick", (event) => {
      const row = (event as CustomEvent<number>).detail, { atlas } = root, size = this.engine.facts.shape[1];
      const name = [sign(atlas, row), atlas.definitions[row]];
      void this.lab.take({ name, prompt: atlas.definitions[row], radical: atlas.radicals[row], x0: character(atlas, row, size) });
      get("noise").scrollIntoView();
    });
    const seen = this.bench.seen();
    if (seen.length) this.follow(seen);
  }
}

async function open(): Promise<Explorer> {
  const facts: Facts = JSON.parse(await text("facts"));
  offer(facts);
  const engine = new Engine(facts), explorer = new Explorer(engine);
  await engine.load((what) => say(`loading the ${what}`));
  for (const id of ["draw", "dice"]) get<HTMLButtonElement>(id).disabled = false;
  document.body.dataset.threads = String(engine.threads);
  return explorer;
}

/** The choices that this model has. */
function offer(facts: Facts): void {
  for (const steps of Object.keys(facts.grids)) get<HTMLSelectElement>("steps").add(new Option(steps, steps, false, Number(steps) === facts.steps));
  const sampler = get<HTMLSelectElement>("sampler");
  if ([...sampler.options].some((option) => option.value === facts.sampler)) sampler.value = facts.sampler;
  get<HTMLInputElement>("guidance").value = String(facts.guidance);
}

const opened = open();
opened
  .then(async (explorer) => {
    await explorer.draw([{ prompt: get<HTMLInputElement>("prompt").value }]);
    document.body.dataset.first = String(performance.now() / 1000);
    await painted();
    await explorer.openMap();
    document.body.dataset.map = "open";
  })
  .catch((error: Error) => {
    document.body.dataset.state = "failed";
    say(`this page cannot run the model: ${error.message}`);
    throw error;
  });
