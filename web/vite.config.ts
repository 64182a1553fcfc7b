import { defineConfig } from "vite";

const out = "../src/glyffuser/serve/static";

/* One classic script, which a page from the file system may load. */
export default defineConfig({
  build: {
    outDir: out,
    emptyOutDir: false,
    copyPublicDir: false,
    lib: { entry: "src/explorer.ts", formats: ["iife"], name: "glyffuserExplorer", fileName: () => "explorer.js" },
  },
  worker: { format: "iife" },
});
