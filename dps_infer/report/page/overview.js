// The upper part of the page: the summary, the histogram, and the context explained.

const MOST_BINS = 40;

/** The distances of the chosen context, ascending; errors have none. */
function distances() {
  return pairs.distance[state.context].filter((value) => value !== null).sort((a, b) => a - b);
}

function showSummary() {
  const values = distances();
  const middle = values.length / 2;
  const median = values.length === 0 ? null
    : (values[Math.floor(middle - 0.5)] + values[Math.floor(middle)]) / 2;
  const tiles = [
    ["pairs", formatCount(pairCount), "all", ""],
    ["median distance", formatDistance(median), null, ""],
    ["worst distance", formatDistance(values.at(-1) ?? null), null, ""],
    ["identical", formatCount(countOf("identical")), "identical", ""],
    ["errors", formatCount(countOf("errors")), "errors", countOf("errors") > 0 ? "bad" : ""],
  ];
  if (thresholdOf() !== null) {
    const above = countOf("above");
    const name = `above ${thresholdOf()}`;
    tiles.push([name, formatCount(above), "above", above > 0 ? "bad" : "good"]);
  }
  byId("summary").replaceChildren(...tiles.map(summaryTile));
}

function countOf(kind) {
  const fits = KINDS[kind][1];
  let count = 0;
  for (let pair = 0; pair < pairCount; pair += 1) if (fits(pair)) count += 1;
  return count;
}

/** A number with its name; a button if its pairs can be shown. */
function summaryTile([name, value, kind, tone]) {
  const words = [make("strong", { class: tone }, value), make("span", {}, name)];
  if (kind === null) return make("div", { class: "tile" }, ...words);
  const pressed = String(state.kind === kind);
  return button({ class: "tile", "aria-pressed": pressed }, () => chooseKind(kind), ...words);
}

function chooseKind(kind) {
  state.kind = kind;
  update();
}

/** Bars that filter the table. One of them is a tab stop; the arrow keys reach the others. */
function showHistogram() {
  const values = distances();
  const holder = byId("histogram");
  if (values.length === 0) {
    holder.replaceChildren(make("p", {}, "No pair has a distance."));
    return;
  }
  const threshold = thresholdOf();
  const step = roundUp((Math.max(values.at(-1), threshold ?? 0) || 1) / MOST_BINS);
  const bins = Math.floor(Math.max(values.at(-1), threshold ?? 0) / step) + 1;
  const end = bins * step;
  const counts = new Array(bins).fill(0);
  for (const value of values) counts[Math.min(bins - 1, Math.floor(value / step))] += 1;
  const most = Math.max(...counts);
  const bars = counts.map((count, bin) => histogramBar(bin, count, most, step));
  const plot = make("div", { class: "plot", role: "group", "aria-label": "Pairs by distance" },
    ...bars);
  if (threshold !== null) {
    const line = make("i", { class: "threshold", title: `threshold ${threshold}` });
    line.style.left = `${threshold / end * 100}%`;
    plot.append(line);
  }
  const focused = bars.find((bar) => bar.getAttribute("aria-pressed") === "true") ?? bars[0];
  focused.tabIndex = 0;
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = bars[bars.indexOf(document.activeElement) + step];
    if (next !== undefined) next.focus();
    if (step !== undefined) event.preventDefault();
  });
  const hadFocus = holder.contains(document.activeElement);
  holder.replaceChildren(
    make("span", { class: "most quiet", "aria-hidden": "true" }, formatCount(most)),
    plot, axis(end));
  if (hadFocus) focused.focus();
}

/** Return the next of 1, 2 and 5 times a power of ten. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((times) => times * power).find((round) => round >= value);
}

function axis(end) {
  const step = roundUp(end / 6);
  const labels = [];
  for (let tick = 0; tick * step <= end; tick += 1) {
    const label = make("span", {}, formatNumber(tick * step));
    label.style.left = `${tick * step / end * 100}%`;
    labels.push(label);
  }
  return make("div", { class: "axis quiet", "aria-hidden": "true" }, ...labels);
}

function histogramBar(bin, count, most, step) {
  const range = [bin * step, (bin + 1) * step];
  const chosen = state.range !== null && state.range[0] === range[0];
  const words = `${formatCount(count)} ${count === 1 ? "pair" : "pairs"}, ${rangeWords(range)}`;
  const bar = button(
    { class: "bar", tabindex: -1, title: words, "aria-label": words, "aria-pressed": String(chosen) },
    () => {
      state.range = chosen ? null : range;
      update();
    },
    make("i"));
  bar.firstChild.style.height = count === 0 ? "0" : `max(2px, ${count / most * 100}%)`;
  return bar;
}

const rangeWords = ([low, high]) => `distance ${formatNumber(low)} to ${formatNumber(high)}`;

/** Explain the context in words, bars and pictures. */
function showExplanation() {
  const context = report.contexts[state.context];
  const parts = [];
  if (context.label !== "") parts.push(make("p", { class: "label" }, context.label));
  if (context.words !== "" && context.words !== context.label) {
    parts.push(make("p", { class: "words" }, context.words));
  }
  parts.push(make("p", { class: "quiet" },
    "A distance is 0 for identical images, and larger for images that this context calls more " +
    "different. It is the sum of its parts: the amount of each kind of change in the pair, times " +
    "the importance of the kind."));
  if (context.importances !== null) {
    parts.push(make("h3", {}, "Importance of each kind of change"),
      bars(Object.keys(context.importances), Object.values(context.importances)));
  }
  if (context.examples.length > 0) {
    parts.push(make("h3", {}, "A strong change of each kind, the closest first"),
      make("div", { class: "examples" }, ...context.examples.map(example)));
  }
  if (context.importances === null) {
    parts.push(make("p", { class: "quiet" },
      "Make the report with the --context, --ranking or --importance of these results to see " +
      "the importance of each kind here, with pictures."));
  }
  byId("explanation").replaceChildren(...parts);
  byId("average").replaceChildren(...(context.parts.length === 0 ? [] : [
    make("h3", {}, "Average parts of the distances"),
    bars(context.parts, context.parts.map((_, place) => meanPart(place))),
  ]));
}

function meanPart(place) {
  const values = pairs.parts[state.context][place].filter((value) => value !== null);
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Named bars with numbers, one per part above 0; `words` may call a part otherwise. */
function bars(names, values, words = {}) {
  const most = Math.max(...values) || 1;
  const shown = names.map((name, place) => [name, values[place], place])
    .filter(([, value]) => value > 0);
  return make("dl", { class: "bars" }, ...shown.map(([name, value, place]) => {
    const bar = make("i", { class: partClass(place) });
    bar.style.width = `${value / most * 100}%`;
    return make("div", {}, make("dt", {}, words[name] ?? name),
      make("dd", {}, make("span", { class: "track" }, bar), formatNumber(value)));
  }));
}

function example({ name, strength, picture, distance }) {
  return make("figure", {},
    make("img", { src: picture, alt: "" }),
    make("figcaption", {}, make("b", {}, name), make("span", { class: "quiet" }, strength),
      distance === null ? "" : make("span", {}, formatNumber(distance))));
}
