/* The map of all glyphs: pan, zoom, hover, search, colours. No library, no network; data stands in the page. */
(() => {
  const CELL = 28; // pixels of a cell in the table that finds the point under the pointer
  const GLYPHS_FROM = 15; // pixels between points from which glyphs are drawn instead of dots

  function bytes(base64) {
    const text = atob(base64), out = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
    return out;
  }

  class Atlas {
    constructor(root) {
      const find = (name) => root.querySelector(`[data-${name}]`);
      this.root = root;
      this.data = JSON.parse(find("atlas-data").textContent);
      for (const name of ["stage", "canvas", "overlay", "card", "glyph", "char", "meaning", "facts", "hint", "results", "legend", "live", "search", "colour", "invented"])
        this[name] = find(name);
      this.n = this.data.count; // points of the data set; invented ones follow
      this.chars = Array.from(this.data.chars);
      this.definitions = this.data.definitions;
      this.lower = this.definitions.map((text) => text.toLowerCase());
      this.radicals = bytes(this.data.radicals);
      this.strokes = bytes(this.data.strokes);
      this.structures = bytes(this.data.structures);
      const places = new Uint16Array(bytes(this.data.places).buffer); // x, y of every point, 0 to 65535
      this.total = places.length / 2;
      this.x = new Float32Array(this.total);
      this.y = new Float32Array(this.total);
      for (let i = 0; i < this.total; i++) { this.x[i] = places[2 * i] / 65535; this.y[i] = 1 - places[2 * i + 1] / 65535; }
      this.hits = null; // Set of rows that a search found
      this.hover = -1;
      this.view = { scale: 1, x: 0.5, y: 0.5 }; // pixels a map side, and the map's point in the middle
      this.sheets = this.data.sheets.map((source) => { const image = new Image(); image.onload = () => this.redraw(); image.src = source; return image; });
      this.tinted = [];
      this.listen();
      this.theme();
      this.recolour();
      this.resize();
      if (document.body.dataset.alone) this.hint.textContent = "scroll to zoom, drag to move";
      root.atlas = this;
    }

    listen() {
      new ResizeObserver(() => this.resize()).observe(this.stage);
      const canvas = this.canvas, pointers = new Map();
      let began = [0, 0];
      const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        pointers.set(event.pointerId, at(event));
        began = at(event);
        canvas.classList.add("dragging");
      });
      canvas.addEventListener("pointermove", (event) => {
        const now = at(event), before = pointers.get(event.pointerId);
        if (!before) { this.point(...now); return; }
        if (pointers.size === 2) { // two fingers: zoom about their middle
          const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
          const span = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
          this.zoom(span(now) / Math.max(span(before), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
        }
        const share = 1 / pointers.size;
        this.pan((now[0] - before[0]) * share, (now[1] - before[1]) * share);
        pointers.set(event.pointerId, now);
      });
      const up = (event) => {
        if (event.type === "pointerup" && event.pointerType === "touch") this.point(...at(event), 24);
        const still = Math.hypot(at(event)[0] - began[0], at(event)[1] - began[1]) < 5;
        if (event.type === "pointerup" && still && pointers.size === 1) this.pick();
        pointers.delete(event.pointerId);
        if (!pointers.size) canvas.classList.remove("dragging");
      };
      canvas.addEventListener("pointerup", up);
      canvas.addEventListener("pointercancel", up);
      canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") this.show(-1); });
      canvas.addEventListener("wheel", (event) => {
        // Inside a chapter, scrolling goes on down the page until the map has been clicked.
        if (!event.ctrlKey && document.activeElement !== canvas && !document.body.dataset.alone) return;
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 16 : 1;
        this.zoom(Math.exp(-event.deltaY * lines * 0.0018), ...at(event));
      }, { passive: false });
      canvas.addEventListener("dblclick", (event) => this.zoom(2, ...at(event)));
      canvas.addEventListener("keydown", (event) => this.key(event));
      canvas.addEventListener("focus", () => { this.hint.textContent = "scroll to zoom, drag to move"; });
      canvas.addEventListener("blur", () => { if (!document.body.dataset.alone) this.hint.textContent = "click, then scroll to zoom"; });
      for (const button of this.root.querySelectorAll("[data-zoom]"))
        button.addEventListener("click", () => this.press(button.dataset.zoom));
      this.search.addEventListener("input", () => this.find(this.search.value));
      this.search.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && this.hits && this.hits.size) { event.preventDefault(); this.fly(this.order[0]); }
        if (event.key === "Escape") { this.search.value = ""; this.find(""); }
      });
      this.colour.addEventListener("change", () => { this.recolour(); this.redraw(); });
      if (this.invented) this.invented.addEventListener("change", () => { this.index = null; this.redraw(); });
      const again = () => { this.theme(); this.recolour(); this.redraw(); };
      document.addEventListener("themechange", again);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    }

    press(what) {
      if (what === "all") this.fit(); else this.zoom(what === "in" ? 1.6 : 1 / 1.6, this.width / 2, this.height / 2);
    }

    key(event) {
      const step = 60, moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
      if (moves[event.key]) this.pan(...moves[event.key]);
      else if (event.key === "+" || event.key === "=") this.press("in");
      else if (event.key === "-") this.press("out");
      else if (event.key === "0") this.fit();
      else if (event.key === "Enter") { this.pick(); return; }
      else return;
      event.preventDefault();
      this.reindex();
      this.point(this.width / 2, this.height / 2, 80);
      this.live.textContent = this.hover < 0 ? "" : this.words(this.hover);
    }

    theme() {
      const css = getComputedStyle(this.root);
      this.ink = css.getPropertyValue("--ink").trim();
      this.accent = css.getPropertyValue("--accent").trim();
      this.card_colour = css.getPropertyValue("--card").trim();
      this.dark = css.getPropertyValue("--dark").trim() === "1";
      this.tinted = [];
    }

    recolour() {
      const by = this.colour.value, kinds = this.data.colours[by], grey = this.dark ? "#5b554d" : "#cdc7bd";
      this.palette = [grey, ...kinds.map((kind) => kind.colour)].map((colour) => this.seen(colour));
      const css = this.palette.map((colour) => `rgb(${colour})`);
      this.group = new Uint8Array(this.n); // 0: the rest
      for (let i = 0; i < this.n; i++) {
        if (by === "radical") this.group[i] = 1 + kinds.findIndex((kind) => kind.radical === this.radicals[i]);
        else if (by === "structure") this.group[i] = 1 + this.structures[i];
        else this.group[i] = 1 + Math.min(kinds.length - 1, Math.max(0, Math.floor((this.strokes[i] - 1) / this.data.strokes_a_colour)));
      }
      this.order_by_group = Array.from({ length: this.n }, (_, i) => i).sort((a, b) => this.group[a] - this.group[b]);
      this.legend.replaceChildren();
      const add = (html) => { const item = document.createElement("span"); item.innerHTML = html; this.legend.append(item); };
      if (by === "strokes") add(`${kinds[0].name} <i class="ramp" style="background:linear-gradient(90deg,${css.slice(1)})"></i> ${kinds[kinds.length - 1].name} strokes`);
      else kinds.forEach((kind, k) => add(`<i style="background:${css[k + 1]}"></i>${kind.name}`));
      if (by === "radical") add(`<i style="background:${css[0]}"></i>other radicals`);
      if (this.total > this.n) add(`<i class="square"></i>invented by the model`);
    }

    /* "#rrggbb" as [r, g, b], lightened on a dark page, where deep blue would drown. */
    seen(colour) {
      const parts = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16)), lift = this.dark && colour !== "#5b554d" ? 0.3 : 0;
      return parts.map((part) => Math.round(part + (255 - part) * lift));
    }

    resize() {
      const ratio = Math.min(devicePixelRatio || 1, 2), first = !this.width;
      this.width = this.stage.clientWidth; this.height = this.stage.clientHeight; this.ratio = ratio;
      for (const canvas of [this.canvas, this.overlay]) { canvas.width = this.width * ratio; canvas.height = this.height * ratio; }
      if (first) this.fit(); else this.redraw();
    }

    fit() { this.show(-1); this.view = { scale: 0.94 * Math.min(this.width, this.height), x: 0.5, y: 0.5 }; this.redraw(); }
    sx(i) { return (this.x[i] - this.view.x) * this.view.scale + this.width / 2; }
    sy(i) { return (this.y[i] - this.view.y) * this.view.scale + this.height / 2; }
    pan(dx, dy) { this.view.x -= dx / this.view.scale; this.view.y -= dy / this.view.scale; this.clamp(); this.redraw(); }
    clamp() { for (const axis of ["x", "y"]) this.view[axis] = Math.min(1, Math.max(0, this.view[axis])); }

    zoom(factor, px, py) {
      const view = this.view, low = 0.5 * Math.min(this.width, this.height);
      const scale = Math.min(60000, Math.max(low, view.scale * factor));
      const mx = (px - this.width / 2) / view.scale + view.x, my = (py - this.height / 2) / view.scale + view.y;
      view.x = mx - (px - this.width / 2) / scale;
      view.y = my - (py - this.height / 2) / scale;
      view.scale = scale;
      this.clamp();
      this.redraw();
    }

    redraw() {
      this.index = null;
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.draw(); });
    }

    draw() {
      const pen = this.canvas.getContext("2d"), { width, height } = this;
      pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      // How far apart points stand in the view decides between dots and glyphs.
      let seen = 0;
      for (let i = 0; i < this.n; i++) { const x = this.sx(i), y = this.sy(i); if (x > 0 && x < width && y > 0 && y < height) seen++; }
      const apart = Math.sqrt(width * height / Math.max(seen, 1)), glyphs = seen < 2500 && apart > GLYPHS_FROM;
      const size = glyphs ? Math.min(40, Math.max(20, apart * 0.8)) : 0;
      this.draw_dots(pen);
      if (glyphs) this.draw_glyphs(pen, size);
      if (this.hits) {
        pen.strokeStyle = this.accent; pen.lineWidth = 1.5;
        for (const i of this.hits) { pen.beginPath(); pen.arc(this.sx(i), this.sy(i), Math.max(size * 0.7, 5), 0, 7); pen.stroke(); }
      }
      if (this.shown_invented()) this.draw_invented(pen, Math.max(size, 22));
      this.mark();
      this.put_card();
      this.root.dispatchEvent(new Event("atlasdraw")); // for what lies over the map
    }

    /* Tell the page that a character of the data set was chosen. */
    pick() {
      if (this.hover >= 0 && this.hover < this.n) this.root.dispatchEvent(new CustomEvent("atlaspick", { detail: this.hover }));
    }

    /* All points as squares, written into one picture: 21,000 calls of fillRect would take ten times as long. */
    draw_dots(pen) {
      const wide = this.canvas.width, high = this.canvas.height, picture = pen.createImageData(wide, high);
      const pixels = new Uint32Array(picture.data.buffer), { x: mx, y: my } = this.view, scale = this.view.scale * this.ratio;
      const dot = Math.round(this.ratio * Math.min(6, Math.max(2, this.view.scale / 330)));
      const left = wide / 2 - mx * scale - dot / 2, top = high / 2 - my * scale - dot / 2;
      const solid = this.palette.map(([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
      const faint = solid.map((colour) => ((46 << 24) | (colour & 0xffffff)) >>> 0);
      for (const i of this.order_by_group) {
        const x = Math.round(this.x[i] * scale + left), y = Math.round(this.y[i] * scale + top);
        if (x < 0 || y < 0 || x + dot > wide || y + dot > high) continue;
        const colour = (this.hits && !this.hits.has(i) ? faint : solid)[this.group[i]];
        for (let row = y; row < y + dot; row++) pixels.fill(colour, row * wide + x, row * wide + x + dot);
      }
      pen.putImageData(picture, 0, 0);
    }

    /* Glyphs over the dots, as many as fit beside one another; found ones first. Places hang on the map, not the view. */
    draw_glyphs(pen, size) {
      const taken = new Set(), { width, height } = this, scale = this.view.scale / (size * 0.9);
      const chosen = [];
      const choose = (i) => {
        const x = this.sx(i), y = this.sy(i);
        if (x < -size || x > width + size || y < -size || y > height + size) return;
        const place = Math.floor(this.x[i] * scale) * 1e6 + Math.floor(this.y[i] * scale);
        if (!taken.has(place)) { taken.add(place); chosen.push(i); }
      };
      if (this.hits) this.hits.forEach(choose);
      for (let i = 0; i < this.n; i++) choose(i);
      for (const i of chosen.reverse()) { // what was chosen first lies on top
        const x = this.sx(i), y = this.sy(i);
        pen.globalAlpha = 1;
        pen.fillStyle = this.card_colour;
        pen.fillRect(x - size / 2, y - size / 2, size, size);
        pen.globalAlpha = !this.hits || this.hits.has(i) ? 1 : 0.35;
        this.stamp(pen, i, x - size / 2, y - size / 2, size);
        pen.fillStyle = `rgb(${this.palette[this.group[i]]})`;
        pen.fillRect(x - size / 2, y + size / 2, size, 2);
      }
      pen.globalAlpha = 1;
    }

    draw_invented(pen, size) {
      for (let i = this.n; i < this.total; i++) {
        const x = this.sx(i) - size / 2, y = this.sy(i) - size / 2;
        pen.fillStyle = this.card_colour;
        pen.fillRect(x, y, size, size);
        this.stamp(pen, i, x, y, size);
        pen.strokeStyle = this.accent; pen.lineWidth = 1.5;
        pen.strokeRect(x, y, size, size);
      }
    }

    shown_invented() { return this.invented && this.invented.checked; }

    /* Draw glyph i; on a dark page its ink is light. */
    stamp(pen, i, x, y, size, black = false) {
      const columns = this.data.columns, a_sheet = columns * columns, side = this.data.side;
      const sheet = Math.floor(i / a_sheet), k = i % a_sheet;
      const image = this.dark && !black ? this.tint(sheet) : this.sheets[sheet];
      if (!image || (image.complete === false)) return;
      pen.drawImage(image, (k % columns) * side, Math.floor(k / columns) * side, side, side, x, y, size, size);
    }

    tint(sheet) {
      const image = this.sheets[sheet];
      if (!this.tinted[sheet] && image.complete) {
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        const pen = canvas.getContext("2d");
        pen.drawImage(image, 0, 0);
        pen.globalCompositeOperation = "source-in";
        pen.fillStyle = this.ink;
        pen.fillRect(0, 0, canvas.width, canvas.height);
        this.tinted[sheet] = canvas;
      }
      return this.tinted[sheet];
    }

    /* Points by screen cell, so that hovering looks at a few and not at all. */
    reindex() {
      this.index = new Map();
      const last = this.shown_invented() ? this.total : this.n;
      for (let i = 0; i < last; i++) {
        const x = this.sx(i), y = this.sy(i);
        if (x < 0 || x > this.width || y < 0 || y > this.height) continue;
        const cell = Math.floor(x / CELL) * 4096 + Math.floor(y / CELL);
        const list = this.index.get(cell);
        if (list) list.push(i); else this.index.set(cell, [i]);
      }
    }

    nearest(px, py, reach) {
      if (!this.index) this.reindex();
      let best = -1, least = reach * reach;
      const r = Math.ceil(reach / CELL), cx = Math.floor(px / CELL), cy = Math.floor(py / CELL);
      for (let a = cx - r; a <= cx + r; a++) for (let b = cy - r; b <= cy + r; b++)
        for (const i of this.index.get(a * 4096 + b) || []) {
          const d = (this.sx(i) - px) ** 2 + (this.sy(i) - py) ** 2 - (i >= this.n ? 60 : 0); // invented ones lie on top
          if (d < least) { least = d; best = i; }
        }
      return best;
    }

    point(px, py, reach = 18) { this.show(this.nearest(px, py, reach)); }

    words(i) {
      if (i >= this.n) return `invented: ${this.data.prompts[i - this.n]}`;
      return `${this.chars[i]}, ${this.definitions[i]}`;
    }

    show(i) {
      if (i === this.hover) return;
      this.hover = i;
      this.card.hidden = i < 0;
      this.mark();
      if (i < 0) return;
      const pen = this.glyph.getContext("2d");
      pen.clearRect(0, 0, 80, 80);
      this.stamp(pen, i, 0, 0, 80, true);
      if (i >= this.n) {
        this.char.innerHTML = "<b>invented</b>";
        this.meaning.textContent = `“${this.data.prompts[i - this.n]}”`;
        this.facts.textContent = "by the model, placed among its neighbours";
      } else {
        const code = this.chars[i].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
        this.char.innerHTML = `<b></b> U+${code}`;
        this.char.firstChild.textContent = this.chars[i];
        this.meaning.textContent = this.definitions[i];
        const radical = this.data.radical_names[this.radicals[i] - 1];
        this.facts.textContent = `radical ${radical} · ${this.strokes[i]} strokes · ${this.data.structure_names[this.structures[i]]}`;
      }
      this.put_card();
    }

    /* The card beside its point; away where the point has left the view. */
    put_card() {
      const i = this.hover;
      if (i < 0) return;
      const x = this.sx(i), y = this.sy(i);
      this.card.hidden = x < 0 || y < 0 || x > this.width || y > this.height;
      const box = this.card.getBoundingClientRect();
      const left = x + 18 + box.width < this.width ? x + 18 : Math.max(4, x - 18 - box.width);
      const top = y + 18 + box.height < this.height ? y + 18 : Math.max(4, y - 18 - box.height);
      this.card.style.transform = `translate(${Math.min(left, Math.max(4, this.width - box.width - 4))}px, ${top}px)`;
    }

    mark() {
      const pen = this.overlay.getContext("2d");
      pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      pen.clearRect(0, 0, this.width, this.height);
      if (this.hover < 0) return;
      pen.strokeStyle = this.accent; pen.lineWidth = 2.5;
      pen.beginPath(); pen.arc(this.sx(this.hover), this.sy(this.hover), 11, 0, 7); pen.stroke();
    }

    find(text) {
      const wanted = text.trim().toLowerCase();
      this.results.replaceChildren();
      this.hits = null;
      if (wanted) {
        const rows = this.matches(wanted);
        this.hits = new Set(rows);
        this.order = rows;
        const many = rows.length > 8 ? `, the first 8 of them` : "";
        this.results.append(rows.length ? `${rows.length.toLocaleString("en")} found${many}:` : "nothing found");
        for (const i of rows.slice(0, 8)) this.results.append(this.chip(i));
      }
      this.redraw();
    }

    /* Rows whose character, code point or definition fits; whole words first, short definitions first. */
    matches(wanted) {
      const code = wanted.match(/^u\+([0-9a-f]{4,6})$/);
      if (code) return this.chars.flatMap((char, i) => (char.codePointAt(0) === parseInt(code[1], 16) ? [i] : []));
      const single = this.chars.flatMap((char, i) => (wanted.includes(char) ? [i] : []));
      if (single.length) return single;
      const word = new RegExp(`(^|[^a-z])${wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}($|[^a-z])`), rows = [];
      for (let i = 0; i < this.n; i++) if (this.lower[i].includes(wanted)) rows.push([word.test(this.lower[i]) ? 0 : 1, this.lower[i].length, i]);
      return rows.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((row) => row[2]);
    }

    chip(i) {
      const button = document.createElement("button"), small = document.createElement("canvas"), label = document.createElement("span");
      button.type = "button";
      small.width = small.height = 56;
      this.stamp(small.getContext("2d"), i, 6, 6, 44, true);
      label.textContent = this.definitions[i];
      button.append(small, label);
      button.title = this.words(i);
      button.addEventListener("click", () => this.fly(i));
      return button;
    }

    /* Move the view to point i, at once where motion is unwelcome. */
    fly(i) {
      const from = { ...this.view }, to = { scale: Math.max(this.view.scale, 9 * Math.min(this.width, this.height)), x: this.x[i], y: this.y[i] };
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches, start = performance.now(), long = calm ? 1 : 700;
      const step = (time) => {
        const part = Math.min(1, (time - start) / long), ease = part * part * (3 - 2 * part);
        this.view = { scale: from.scale * (to.scale / from.scale) ** ease, x: from.x + (to.x - from.x) * ease, y: from.y + (to.y - from.y) * ease };
        this.redraw();
        if (part < 1) requestAnimationFrame(step); else { this.hover = -1; this.show(i); this.live.textContent = this.words(i); }
      };
      requestAnimationFrame(step);
    }
  }

  const start = () => document.querySelectorAll("[data-atlas]").forEach((root) => root.atlas || new Atlas(root));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
})();
