// Sliders for the thresholds of a draft: each moves a mark in a chart of what would be, and the field that is sent.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 600;
  const HEIGHT = 140;
  const draw = (parent, name, attributes) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  };
  const nearest = (all, wanted) => {
    let best = 0;
    all.forEach((value, place) => {
      if (Math.abs(value - wanted) < Math.abs(all[best] - wanted)) best = place;
    });
    return best;
  };
  const percent = (rate) =>
    rate ? `${(rate[0] * 100).toFixed(1)}% (${(rate[1] * 100).toFixed(1)}–${(rate[2] * 100).toFixed(1)}%)` : "–";

  function chart(curve, label) {
    const svg = document.createElementNS(SVG, "svg");
    for (const [key, value] of Object.entries({ viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label })) {
      svg.setAttribute(key, value);
    }
    const most = Math.max(1, ...curve.refused, ...curve.allowed);
    // Small numbers are seen beside large ones.
    const height = (count) => HEIGHT - 4 - (Math.log1p(count) / Math.log1p(most)) * (HEIGHT - 12);
    for (const [what, numbers] of [["refused", curve.refused], ["allowed", curve.allowed]]) {
      const points = numbers.map((count, place) => `${curve.threshold[place] * WIDTH},${height(count)}`);
      draw(svg, "polyline", { points: points.join(" "), class: `line ${what}`, fill: "none" });
    }
    const mark = draw(svg, "line", { y1: 0, y2: HEIGHT, class: "mark" });
    return { svg, move: (value) => ["x1", "x2"].forEach((end) => mark.setAttribute(end, value * WIDTH)) };
  }

  function slide(field) {
    const { curve: source, value, refused, allowed, precision, recall, newest, all, decisions, failed } = field.dataset;
    const input = field.querySelector("input[type=number]");
    const range = document.createElement("input");
    Object.assign(range, { type: "range", min: "0", max: "1", step: "0.001", value });
    range.setAttribute("aria-label", field.querySelector("label").textContent);
    range.disabled = input.matches(":disabled");
    const figure = document.createElement("figure");
    figure.className = "chart";
    const said = document.createElement("figcaption");
    said.setAttribute("aria-live", "polite");
    figure.append(said);
    input.after(range, figure);
    let shown = null;
    let curve = null;
    const tell = () => {
      const at = Number(range.value);
      if (!curve) return;
      const place = nearest(curve.threshold, at);
      shown.move(at);
      const of = `${curve.part ? newest : all} ${curve.decisions} ${decisions}`;
      const rates = curve.labelled
        ? `; ${precision} ${percent(curve.precision[place])}, ${recall} ${percent(curve.recall[place])}`
        : "";
      said.textContent = `${at.toFixed(3)}: ${curve.refused[place]} ${refused}, ${curve.allowed[place]} ${allowed} ${of}${rates}`;
    };
    range.addEventListener("input", () => {
      input.value = range.value;
      tell();
    });
    input.addEventListener("input", () => {
      range.value = input.value === "" ? value : input.value;
      tell();
    });
    // Only what is looked at is asked for.
    const seen = new IntersectionObserver(async (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      try {
        const answer = await fetch(source);
        if (!answer.ok) throw new Error(answer.status);
        curve = await answer.json();
        if (curve === null) throw new Error("no such rule");
        shown = chart(curve, said.textContent);
        shown.svg.setAttribute("aria-label", `${refused}, ${allowed}`);
        figure.prepend(shown.svg);
        tell();
      } catch {
        said.textContent = failed;
      }
    });
    seen.observe(field);
  }

  document.querySelectorAll(".slider").forEach(slide);
})();
