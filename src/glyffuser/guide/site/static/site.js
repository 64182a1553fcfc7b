/* The guide's pages: theme, players of animations, sliders, tabs. No library, no network. */
(() => {
  // Storage may be closed to pages from the file system; the theme then lasts for one page.
  const memory = {
    get() { try { return localStorage.getItem("guide-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("guide-theme", value); } catch { /* not kept */ } },
  };
  const root = document.documentElement, calm = matchMedia("(prefers-reduced-motion: reduce)");
  const isDark = () => getComputedStyle(root).getPropertyValue("--dark").trim() === "1";
  const kept = memory.get();
  if (kept) root.dataset.theme = kept;

  function theme(button) {
    const say = () => { button.textContent = isDark() ? "light" : "dark"; button.setAttribute("aria-label", `Switch to the ${button.textContent} theme`); };
    say();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      memory.set(root.dataset.theme);
      say();
      document.dispatchEvent(new Event("themechange"));
    });
  }

  /* Frames of an animation: all are fetched from the folder when the figure comes into view. */
  function player(box) {
    const image = box.querySelector("img"), button = box.querySelector("button"), range = box.querySelector("input"), output = box.querySelector("output");
    const frames = JSON.parse(box.dataset.frames), labels = JSON.parse(box.dataset.labels), fps = Number(box.dataset.fps);
    const pictures = [];
    let timer = 0, seen = false, touched = false;
    const load = () => frames.forEach((source, k) => { if (!pictures[k]) { pictures[k] = new Image(); pictures[k].src = source; } });
    const show = (k) => {
      range.value = k;
      image.src = frames[k];
      output.textContent = labels[k];
      range.setAttribute("aria-valuetext", labels[k]);
    };
    const pause = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
    const play = () => {
      load();
      if (Number(range.value) === frames.length - 1) show(0);
      button.textContent = "Pause";
      timer = setInterval(() => {
        const next = Number(range.value) + 1;
        if (pictures[next] && !pictures[next].complete) return; // wait for a frame rather than skip it
        show(next);
        if (next === frames.length - 1) pause();
      }, 1000 / fps);
    };
    button.addEventListener("click", () => { touched = true; if (timer) pause(); else play(); });
    range.addEventListener("input", () => { touched = true; pause(); load(); show(Number(range.value)); });
    new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) { if (timer) pause(); return; }
      load();
      // It plays once by itself, unless motion is unwelcome or the reader has taken over.
      if (!seen && !touched && !calm.matches) { seen = true; show(0); play(); }
    }, { threshold: 0.6 }).observe(box);
  }

  function sliders(box) {
    const image = box.querySelector("img"), ranges = [...box.querySelectorAll("input")], outputs = [...box.querySelectorAll("output")];
    const values = JSON.parse(box.dataset.values), known = new Set(JSON.parse(box.dataset.positions));
    const source = (at) => `${box.dataset.stem}${at}.webp`;
    const show = () => {
      const at = ranges.map((range) => range.value).join("-");
      ranges.forEach((range, k) => {
        outputs[k].textContent = values[k][range.value];
        range.setAttribute("aria-valuetext", values[k][range.value]);
      });
      if (known.has(at)) image.src = source(at);
    };
    ranges.forEach((range) => range.addEventListener("input", show));
    show();
    new IntersectionObserver((entries, watcher) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      known.forEach((at) => { new Image().src = source(at); });
    }).observe(box);
  }

  function tabs(box) {
    const buttons = [...box.querySelectorAll("[role=tab]")], panels = [...box.querySelectorAll("[role=tabpanel]")];
    const choose = (k, focus) => {
      buttons.forEach((button, j) => { button.setAttribute("aria-selected", j === k); button.tabIndex = j === k ? 0 : -1; });
      panels.forEach((panel, j) => { panel.hidden = j !== k; });
      if (focus) buttons[k].focus();
    };
    buttons.forEach((button, k) => {
      button.addEventListener("click", () => choose(k));
      button.addEventListener("keydown", (event) => {
        const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (move) { event.preventDefault(); choose((k + move + buttons.length) % buttons.length, true); }
      });
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-theme-button]").forEach(theme);
    document.querySelectorAll("[data-player]").forEach(player);
    document.querySelectorAll("[data-sliders]").forEach(sliders);
    document.querySelectorAll("[data-tabs]").forEach(tabs);
  });
})();
