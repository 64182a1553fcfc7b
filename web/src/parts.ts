/* Parts of the page: files of the folder data/, each a script that hands over compressed bytes as text.

Scripts are the one thing that a page opened from the file system may load, so it is what every page loads. */

declare global {
  interface Window {
    glyffuserPart: (name: string, chunks: string[]) => void;
  }
}

const waiting = new Map<string, (chunks: string[]) => void>();
window.glyffuserPart = (name, chunks) => waiting.get(name)?.(chunks);

/** The bytes of one part. Rejects if its file is missing or damaged. */
export async function part(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks = await new Promise<string[]>((done, failed) => {
    const script = document.createElement("script");
    waiting.set(name, done);
    script.src = `data/${name}.js`;
    script.onload = () => {
      script.remove();
      failed(new Error(`data/${name}.js is damaged; copy the page again`)); // too late if it has handed over its text
    };
    script.onerror = () => failed(new Error(`data/${name}.js is missing; write the page again`));
    document.head.append(script);
  });
  waiting.delete(name);
  const packed = new Blob(chunks.map(bytes));
  const whole = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(whole).arrayBuffer());
}

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64), out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

export async function text(name: string): Promise<string> {
  return new TextDecoder().decode(await part(name));
}

/** An array of numbers, little-endian as it was written. */
export async function floats(name: string): Promise<Float32Array> {
  return new Float32Array((await part(name)).buffer);
}
