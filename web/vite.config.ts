import { defineConfig } from "vite";

const out = "../src/glyffuser/serve/static";

/* Each page has one classic script, which a page from the file system may load: --mode names the page. */
export default defineConfig(({ mode }) => {
  const page = mode === "label" ? "label" : "explorer";
  const name = `glyffuser${page[0].toUpperCase()}${page.slice(1)}`;
  return {
    build: {
      outDir: out,
      emptyOutDir: false,
      copyPublicDir: false,
      lib: { entry: `src/${page}.ts`, formats: ["iife"], name, fileName: () => `${page}.js` },
    },
    worker: { format: "iife" },
  };
});
