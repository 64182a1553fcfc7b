/** What a sampler needs to know of the model: glyffuser.json (docs/ONNX.md), and what the page offers. */
export interface Facts {
  shape: [number, number, number];
  schedule: string;
  sigma_min: number;
  sigma_max: number;
  sampler: string;
  /** Of that sampler, if it takes one: how soon noise is replaced by fresh noise. */
  eta: number | null;
  guidance: number;
  interval: [number, number];
  levels: { margin: number };
  max_length: number;
  parts: Record<string, { inputs: string[] }>;
  /** Noise levels, falling to 0, for each number of steps that the page offers. */
  grids: Record<string, number[]>;
  /** Noise levels, rising, of the slider that noises a glyph by hand. */
  slider: number[];
  steps: number;
  /** Radicals 1 ... 214, as a character and an English name. */
  radicals: string[];
}
