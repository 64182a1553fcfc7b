/* The page's end of the thread that runs the model: promises for what it is asked. */

import ModelWorker from "./worker?worker&inline";

import { part, text } from "./parts";
import type { Facts } from "./facts";
import type { Expected } from "./sampler";
import type { Asked, Opening } from "./worker";

const MOST_THREADS = 4; // the network is small: more threads wait for one another

export class Engine {
  private readonly worker = new ModelWorker();
  private readonly open = new Map<number, { done: (result: never) => void; failed: (error: Error) => void }>();
  private last = 0;
  /** How many threads compute: one, unless the page is isolated from others. */
  readonly threads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;

  constructor(readonly facts: Facts) {
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const call = this.open.get(id);
      this.open.delete(id);
      if (error === undefined) call?.done(result as never);
      else call?.failed(new Error(error));
    };
  }

  /** Load everything; `say` is told what is being loaded. */
  async load(say: (what: string) => void): Promise<void> {
    const names = Object.keys(this.facts.parts), networks: Record<string, Uint8Array> = {};
    say("runtime");
    const wasm = await part("wasm"), tokenizer = await text("tokenizer");
    for (const name of names) {
      say(name.replace("_", " "));
      networks[name] = await part(name);
    }
    say("networks");
    const told: Opening = { facts: this.facts, tokenizer, wasm, networks, threads: this.threads };
    await this.ask("open", told, [wasm.buffer, ...Object.values(networks).map((bytes) => bytes.buffer as ArrayBuffer)]);
  }

  denoise(asked: Asked): Promise<Expected> {
    return this.ask("denoise", asked);
  }

  private ask<Result>(call: string, told: unknown, given: ArrayBuffer[] = []): Promise<Result> {
    return new Promise((done, failed) => {
      this.open.set(++this.last, { done: done as (result: never) => void, failed });
      this.worker.postMessage({ id: this.last, call, told }, given);
    });
  }
}
