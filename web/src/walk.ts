/* Where a picture belongs among all characters, and the walk of a sample over the guide's map of them. */

import { levelled, paintGlyph } from "./canvas";
import type { Image } from "./sampler";

const SIDE = 32, NEIGHBOURS = 15; // as in src/glyffuser/guide/maths/map_layout.py

/** The guide's map (src/glyffuser/guide/site/static/map.js), so far as it is used here. */
export interface Atlas {
  n: number;
  x: Float32Array;
  y: Float32Array;
  chars: string[];
  definitions: string[];
  radicals: Uint8Array;
  data: { side: number; columns: number };
  sheets: HTMLImageElement[];
  view: { scale: number; x: number; y: number };
  width: number;
  height: number;
  ratio: number;
  dark: boolean;
  accent: string;
}
export type AtlasRoot = HTMLElement & { atlas: Atlas };
export type Place = [number, number];

/** Pictures in the coordinates of the map's principal components, whole numbers of a step for each of them. */
export class Projection {
  private readonly mean: Float32Array;
  private readonly components: Float32Array;
  private readonly steps: Float32Array;
  private readonly k: number;

  /** numbers: the mean (1024), the step of each component (K), and the components (1024, K); rows int8 (N, K). */
  constructor(numbers: Float32Array, private readonly rows: Int8Array) {
    const pixels = SIDE * SIDE;
    this.k = numbers.length / (pixels + 1) - pixels / (pixels + 1);
    this.mean = numbers.subarray(0, pixels);
    this.steps = numbers.subarray(pixels, pixels + this.k);
    this.components = numbers.subarray(pixels + this.k);
  }

  /** The mean place of the nearest characters, weighted by 1 / distance^2 (Shepard 1968), and the nearest one's row. */
  place(image: Image, margin: number, atlas: Pick<Atlas, "x" | "y">): { place: Place; nearest: number } {
    const wanted = this.features(image, margin), found: { row: number; square: number }[] = [];
    let worst = Infinity;
    for (let row = 0; row * this.k < this.rows.length; row++) {
      let square = 0;
      for (let j = 0; j < this.k && square < worst; j++) square += (this.rows[row * this.k + j] * this.steps[j] - wanted[j]) ** 2;
      if (square >= worst) continue;
      found.push({ row, square });
      found.sort((a, b) => a.square - b.square);
      if (found.length > NEIGHBOURS) found.pop();
      if (found.length === NEIGHBOURS) worst = found[NEIGHBOURS - 1].square;
    }
    let x = 0, y = 0, sum = 0;
    for (const { row, square } of found) {
      const weight = 1 / Math.max(square, 1e-9);
      x += weight * atlas.x[row];
      y += weight * atlas.y[row];
      sum += weight;
    }
    return { place: [x / sum, y / sum], nearest: found[0].row };
  }

  private features(image: Image, margin: number): Float32Array {
    const side = Math.round(Math.sqrt(image.length)), ink = new Float32Array(SIDE * SIDE), cell = side / SIDE;
    for (let i = 0; i < ink.length; i++) {
      const top = Math.floor(i / SIDE) * cell, left = (i % SIDE) * cell;
      let sum = 0, count = 0;
      for (let y = Math.floor(top); y < top + cell; y++)
        for (let x = Math.floor(left); x < left + cell; x++, count++) sum += 1 - levelled(image[y * side + x] / 2 + 0.5, margin);
      ink[i] = sum / count - this.mean[i];
    }
    const features = new Float32Array(this.k);
    for (let i = 0; i < ink.length; i++) for (let j = 0; j < this.k; j++) features[j] += ink[i] * this.components[i * this.k + j];
    return features;
  }
}

/** A character of the map as an image in [-1, 1]: its small picture, enlarged and sharpened. */
export function character(atlas: Atlas, row: number, size: number): Image {
  const { side, columns } = atlas.data, k = row % (columns * columns);
  const canvas = new OffscreenCanvas(size, size), pen = canvas.getContext("2d")!;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(
    atlas.sheets[Math.floor(row / (columns * columns))],
    ...([(k % columns) * side, Math.floor(k / columns) * side, side, side, 0, 0, size, size] as const),
  );
  const { data } = pen.getImageData(0, 0, size, size);
  const sharper = (ink: number) => Math.min(1, Math.max(0, (ink - 0.5) * 1.8 + 0.5));
  return Float32Array.from({ length: size * size }, (_, i) => 1 - 2 * sharper(data[4 * i + 3] / 255));
}

/** A character of the map as a small picture to stand in a line of text: a reader's machine may have no font for it. */
export function sign(atlas: Atlas, row: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.className = "sign";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", atlas.chars[row]);
  paintGlyph(canvas, character(atlas, row, atlas.data.side), 0);
  return canvas;
}

/** Paths over the map: a line through the places so far, and a picture where it has come to. */
export class Walk {
  private readonly canvas = document.createElement("canvas");
  private paths: { places: Place[]; head: HTMLCanvasElement; colour: string }[] = [];

  constructor(private readonly root: AtlasRoot, stage: HTMLElement) {
    this.canvas.className = "atlas-overlay atlas-walk";
    this.canvas.setAttribute("aria-hidden", "true");
    stage.append(this.canvas);
    root.addEventListener("atlasdraw", () => this.draw());
  }

  show(paths: { places: Place[]; head: HTMLCanvasElement; colour: string }[]): void {
    this.paths = paths;
    this.canvas.dataset.places = String(paths[0]?.places.length ?? 0);
    this.draw();
  }

  private draw(): void {
    const { view, width, height, ratio } = this.root.atlas, pen = this.canvas.getContext("2d")!;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    pen.scale(ratio, ratio);
    const at = ([x, y]: Place): Place => [(x - view.x) * view.scale + width / 2, (y - view.y) * view.scale + height / 2];
    for (const [k, { places, head, colour }] of this.paths.entries()) {
      if (!places.length) continue;
      pen.strokeStyle = pen.fillStyle = colour;
      pen.lineWidth = 2;
      pen.beginPath();
      for (const place of places) pen.lineTo(...at(place));
      pen.stroke();
      for (const place of places) {
        pen.beginPath();
        pen.arc(...at(place), 3, 0, 7);
        pen.fill();
      }
      const [x, y] = at(places[places.length - 1]);
      const top = k ? y + 8 : y - 64; // the second one below its place, so that neither covers the other
      pen.drawImage(head, x - 28, top, 56, 56);
      pen.strokeRect(x - 28, top, 56, 56);
    }
  }
}
