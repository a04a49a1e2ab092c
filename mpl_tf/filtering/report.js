// Search, choice of a class, and the threshold. Without scripts the page shows all, and none of these controls.
(() => {
  const at = (name) => document.getElementById(name);
  const [search, chosen, threshold, hide] = ["search", "class", "threshold", "hide"].map(at);
  const parts = [...document.querySelectorAll("[data-class]")].map((element) => ({
    element,
    number: element.dataset.class,
    distance: element.classList.contains("pair") ? Number(element.dataset.distance) : -1,
    words: [...element.querySelectorAll("[data-word], img")].map((one) => (one.alt ?? one.textContent).toLowerCase()),
  }));
  const bars = [...document.querySelectorAll("g[data-distance]")].map((element) => ({
    element,
    distance: Number(element.dataset.distance),
    evaluation: Number(element.dataset.evaluation),
    unlabeled: Number(element.dataset.unlabeled),
  }));
  const told = (count, one, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
  const sum = (some, of) => some.reduce((total, bar) => total + of(bar), 0);
  const both = (bar) => bar.evaluation + bar.unlabeled;

  // What is shown: by class, by words, and of the pairs those at most as far as the threshold, if the others are hidden.
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    const limit = threshold ? Number(threshold.value) : Infinity;
    const shown = { TR: 0, SECTION: 0, DIV: 0 };
    for (const { element, number, distance, words } of parts) {
      const above = distance > limit;
      const right = (!chosen.value || chosen.value === number) && words.some((word) => word.includes(wanted));
      element.classList.toggle("above", above);
      element.hidden = !right || (above && hide.checked);
      shown[element.tagName] += !element.hidden;
    }
    at("found").value =
      `${told(shown.TR, "class", "classes")}, pictures of ${shown.SECTION}, ` + told(shown.DIV, "overlapping pair");
    if (threshold) {
      slide(limit);
    }
  };

  // What a threshold would take out, of all pairs, whether or not they are in the page.
  const slide = (limit) => {
    const near = bars.filter((bar) => bar.distance <= limit);
    const [all, left] = [sum(bars, both), sum(near, both)];
    const kinds = [
      `${told(sum(near, (bar) => bar.evaluation), "image")} near an evaluation image`,
      `${told(sum(near, (bar) => bar.unlabeled), "image")} near a kept one`,
    ];
    at("bits").textContent = limit;
    at("removed").value =
      `--distance=${limit} would remove ${left.toLocaleString("en")} of ${told(all, "overlapping image")} ` +
      `(${kinds.join(", ")}); ${(all - left).toLocaleString("en")} would compete again.`;
    bars.forEach((bar) => bar.element.classList.toggle("far", bar.distance > limit));
    const line = at("level");
    for (const end of ["x1", "x2"]) {
      line.setAttribute(end, (limit + 1) * Number(line.dataset.bar));
    }
  };

  for (const name of ["filter", "slide"]) {
    const form = at(name);
    if (form) {
      form.hidden = false;
      form.addEventListener("input", show);
      form.addEventListener("submit", (event) => event.preventDefault());
    }
  }
  show();
})();
