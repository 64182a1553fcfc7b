/* The model in a thread of its own: tokenizer, text encoder, tower, denoiser, run by onnxruntime-web. */

import { Tokenizer } from "@huggingface/tokenizers";
import type * as Ort from "onnxruntime-web";
import runtime from "../node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs?raw";

import type { Facts } from "./facts";
import type { Expected } from "./sampler";

type Tensors = Record<string, Ort.Tensor>;

export interface Opening {
  facts: Facts;
  tokenizer: string;
  wasm: Uint8Array;
  networks: Record<string, Uint8Array>;
  threads: number;
}
export interface Asked {
  x: Float32Array;
  sigma: number;
  prompt: string;
  radical: number;
  guided: boolean;
}

let ort: typeof Ort, facts: Facts, tokenizer: Tokenizer;
const networks: Record<string, Ort.InferenceSession> = {};
const texts = new Map<string, Tensors>(); // of a prompt: states, mask and pooled of the empty text and the prompt

const calls = {
  async open(told: Opening): Promise<void> {
    // The runtime is one module that starts its own threads from its own address; from a file page, that is a blob.
    const address = URL.createObjectURL(new Blob([runtime], { type: "text/javascript" }));
    ort = await import(/* @vite-ignore */ address);
    ort.env.wasm.numThreads = told.threads;
    ort.env.wasm.wasmBinary = told.wasm.buffer as ArrayBuffer;
    facts = told.facts;
    tokenizer = new Tokenizer(JSON.parse(told.tokenizer), {});
    for (const [name, bytes] of Object.entries(told.networks))
      networks[name] = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  },

  /** What the network expects in x, with the prompt and, where guidance acts, without. */
  async denoise({ x, sigma, prompt, radical, guided }: Asked): Promise<Expected> {
    const told = await known(prompt), n = guided ? 2 : 1, shape = [n, ...facts.shape];
    const both = new Float32Array(n * x.length);
    for (let k = 0; k < n; k++) both.set(x, k * x.length);
    const given: Tensors = {
      x: new ort.Tensor("float32", both, shape),
      sigma: new ort.Tensor("float32", Float32Array.of(sigma), []),
    };
    for (const [name, tensor] of Object.entries(told)) given[name] = guided ? tensor : rows(tensor, 1);
    const whole = (size: number[], values: number[]) =>
      new ort.Tensor("int64", BigInt64Array.from(values.slice(-size.reduce((a, b) => a * b)), BigInt), size);
    const wanted = facts.parts.denoiser.inputs;
    if (wanted.includes("radical")) given.radical = whole([n], [0, radical]);
    if (wanted.includes("parts")) given.parts = whole([n, 3, 2], new Array(12).fill(0));
    if (wanted.includes("style")) given.style = whole([n], [0, 0]);
    const x0 = (await networks.denoiser.run(given)).x0.data as Float32Array;
    return guided ? { away: x0.slice(0, x.length), towards: x0.slice(x.length) } : { away: null, towards: x0.slice() };
  },
};

/** States, mask and pooled vector of the empty text and of a prompt, two rows each. */
async function known(prompt: string): Promise<Tensors> {
  const kept = texts.get(prompt);
  if (kept) return kept;
  const ids = ["", prompt].map((text) => cut(tokenizer.encode(text).ids));
  const length = Math.max(...ids.map((row) => row.length));
  const grid = (pick: (row: number[], i: number) => number) =>
    new ort.Tensor("int64", BigInt64Array.from(ids.flatMap((row) => Array.from({ length }, (_, i) => BigInt(pick(row, i))))), [2, length]);
  const read = await networks.text_encoder.run({
    input_ids: grid((row, i) => row[i] ?? 0), // what pads is masked: any token does
    attention_mask: grid((row, i) => Number(i < row.length)),
  });
  const told: Tensors = { states: read.states, mask: read.mask };
  if (networks.tower) told.pooled = (await networks.tower.run(told)).pooled;
  texts.set(prompt, told);
  return told;
}

/** Token ids of a long text, shortened: its end, which says that it ends, stays. */
function cut(ids: number[]): number[] {
  return ids.length <= facts.max_length ? ids : [...ids.slice(0, facts.max_length - 1), ids[ids.length - 1]];
}

/** One row of a tensor, as a batch of one. */
function rows(tensor: Ort.Tensor, row: number): Ort.Tensor {
  const size = tensor.size / tensor.dims[0];
  const data = (tensor.data as Float32Array).slice(row * size, (row + 1) * size);
  return new ort.Tensor(tensor.type as "float32", data, [1, ...tensor.dims.slice(1)]);
}

self.onmessage = async ({ data: { id, call, told } }) => {
  try {
    self.postMessage({ id, result: await (calls[call as keyof typeof calls] as (told: unknown) => unknown)(told) });
  } catch (error) {
    self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
};
