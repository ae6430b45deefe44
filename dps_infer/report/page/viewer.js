// One pair, large, in four views.

const BLINK_MILLISECONDS = 700;
const VIEWS = ["Side by side", "Slider", "Blink", "Heat map"];
const VIEW_KEYS = { 1: 0, 2: 1, 3: 2, 4: 3 };
const DRAW = [drawSides, drawSlider, drawBlink, drawHeat];

const viewer = byId("viewer");
const stage = byId("stage");
const controls = byId("controls");

let view = 0;
let split = 50; // position of the slider in percent from the left
let heat = 50; // blend in percent: 0 shows only the candidate, 100 only the heat map
let blinking = !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
let showsBoxes = true; // the boxes of the regions that differ
let showsCandidate = false; // which image the blink shows
let blinkTimer = null;

function openViewer(pair, wanted = view) {
  state.selected = pair;
  view = wanted;
  if (!viewer.open) viewer.showModal();
  showViewer();
}

function showViewer() {
  const pair = state.selected;
  const place = state.order.indexOf(pair);
  byId("viewer-title").textContent =
    `${formatCount(place + 1)} of ${formatCount(state.order.length)}`;
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place >= state.order.length - 1;
  byId("views").replaceChildren(...VIEWS.map((title, number) =>
    button({ "aria-pressed": String(number === view), "aria-keyshortcuts": number + 1 },
      () => chooseView(number), title, make("kbd", { "aria-hidden": "true" }, String(number + 1)))));
  showFacts(pair);
  showStage();
}

function chooseView(wanted) {
  view = wanted;
  showViewer();
  const control = controls.querySelector("input, button");
  (control ?? byId("views").children[view]).focus();
}

function stepViewer(step) {
  const next = state.order[state.order.indexOf(state.selected) + step];
  if (next === undefined) return;
  const range = controls.contains(document.activeElement);
  state.selected = next;
  showViewer();
  // The control that had the focus was replaced.
  if (range) controls.querySelector("input, button")?.focus();
}

/** Draw the pair in the chosen view, as large as the stage allows. */
function showStage() {
  clearInterval(blinkTimer);
  controls.replaceChildren();
  stage.replaceChildren();
  stage.className = "stage";
  const images = [pairs.referenceImage, pairs.candidateImage]
    .map((column) => picture(column[state.selected]));
  const missing = images.filter((image) => image.url === null);
  if (missing.length === 2 || (missing.length === 1 && view !== 0)) {
    stage.append(make("div", { class: "message" },
      ...missing.map((image) => make("p", {}, `No image: ${image.why}`))));
    return;
  }
  DRAW[view](...images);
  if (report.maps[state.context]?.[state.selected]?.regions.length > 0) {
    controls.append(button({ "aria-pressed": String(showsBoxes), "aria-keyshortcuts": "b" },
      toggleBoxes, "Boxes", make("kbd", { "aria-hidden": "true" }, "b")));
  }
  const small = images.filter((image) => image.url !== null && image.reduced);
  if (small.length > 0 && controls.querySelector(".message") === null) {
    controls.append(make("p", { class: "quiet" }, small[0].large
      ? "Reduced in size for this page."
      : "A small preview: --worst N gives the N worst pairs larger ones."));
  }
}

function toggleBoxes() {
  showsBoxes = !showsBoxes;
  redrawStage();
}

/** Draw the same view again; the control that has the focus keeps it. */
function redrawStage() {
  const place = [...controls.querySelectorAll("input, button")].indexOf(document.activeElement);
  showStage();
  controls.querySelectorAll("input, button")[place]?.focus();
}

/** Describe an image, with its larger preview if there is one. */
function picture(number) {
  const { thumbnail, preview, width, height, why } = report.images[number];
  const embedded = Math.max(width, height) <= (preview ? report.previewSize : report.thumbnailSize);
  return { url: preview ?? thumbnail, width, height, why, reduced: !embedded, large: Boolean(preview) };
}

/** The largest scale at which a size fits the stage `across` and `down` times. */
function scaleFor({ width, height }, across, down) {
  const gap = 12;
  return Math.min((stage.clientWidth - gap * (across + 1)) / across / width,
    (stage.clientHeight - gap * (down + 1) - 24 * down) / down / height);
}

function drawSides(reference, candidate) {
  const size = reference.url === null ? candidate : reference;
  const [beside, below] = [scaleFor(size, 2, 1), scaleFor(size, 1, 2)];
  stage.classList.toggle("below", below > beside);
  const scale = Math.max(beside, below);
  stage.append(frame(size, scale, "Reference", layer(reference, "reference"), ...hatchLayer(), ...boxLayers()),
    frame(size, scale, "Candidate", layer(candidate, "candidate"), ...hatchLayer(), ...boxLayers()));
}

function drawSlider(reference, candidate) {
  const top = layer(candidate, "candidate");
  const line = make("i", { class: "split", "aria-hidden": "true" });
  const place = () => {
    top.style.clipPath = `inset(0 0 0 ${split}%)`;
    line.style.left = `${split}%`;
  };
  const box = frame(reference, scaleFor(reference, 1, 1), "Reference left, candidate right",
    layer(reference, "reference"), top, ...hatchLayer(), ...boxLayers(), line);
  stage.append(box);
  const input = slider("Reference", "Candidate", split, (value) => {
    split = value;
    place();
  });
  box.firstChild.classList.add("dragged");
  box.firstChild.addEventListener("pointerdown", (event) => {
    box.firstChild.setPointerCapture(event.pointerId);
    drag(event);
  });
  box.firstChild.addEventListener("pointermove", (event) => {
    if (event.buttons > 0) drag(event);
  });
  function drag(event) {
    const { left, width } = box.firstChild.getBoundingClientRect();
    split = Math.round(Math.max(0, Math.min(100, (event.clientX - left) / width * 100)));
    input.value = split;
    place();
  }
  place();
}

function drawBlink(reference, candidate) {
  const top = layer(candidate, "candidate");
  const box = frame(reference, scaleFor(reference, 1, 1), "", layer(reference, "reference"), top,
    ...hatchLayer(), ...boxLayers());
  stage.append(box);
  const show = () => {
    top.hidden = !showsCandidate;
    box.lastChild.textContent = showsCandidate ? "Candidate" : "Reference";
  };
  const flip = () => {
    showsCandidate = !showsCandidate;
    show();
  };
  const pause = button({}, () => run(!blinking));
  const run = (wanted) => {
    blinking = wanted;
    clearInterval(blinkTimer);
    if (blinking) blinkTimer = setInterval(flip, BLINK_MILLISECONDS);
    pause.textContent = blinking ? "Pause" : "Blink";
  };
  controls.append(pause, button({ "aria-keyshortcuts": "Space" }, () => {
    run(false);
    flip();
  }, "Swap"));
  show();
  run(blinking);
}

function drawHeat(reference, candidate) {
  const map = report.maps[state.context]?.[state.selected];
  if (map === undefined || map.why !== "") {
    stage.append(make("div", { class: "message" }, make("p", {}, map?.why ?? noMap())));
    return;
  }
  const canvas = make("canvas", { class: "layer", width: map.width, height: map.height,
    role: "img", "aria-label": "Heat map" });
  const image = layer(candidate, "candidate");
  const levels = decodeBytes(map.cells);
  const draw = () => {
    // Halfway, the colors lie over gray, and nothing covers the image where it does not differ.
    const [overlay, solid] = [Math.min(1, heat / 50), Math.max(0, heat / 50 - 1)];
    const opacity = (level) => overlay * report.scale.maxOpacity * level / 255;
    paint(canvas, levels, (level) => opacity(level) * (1 - solid) + solid);
    image.style.filter = `grayscale(${overlay})`;
  };
  stage.append(frame(reference, scaleFor(reference, 1, 1), "Where the images differ",
    image, canvas, ...hatchLayer(), ...boxLayers()));
  slider("Candidate", "Heat map", heat, (value) => {
    heat = value;
    draw();
  });
  controls.append(legend());
  draw();
}

function noMap() {
  if (pairs.error[state.selected] !== "") return "No heat map: this pair could not be compared.";
  if (!report.maps[state.context]) {
    return "No heat maps in this report. Make it again with the context of these results " +
      "(--context FILE, --ranking or --importance) to get those of the worst pairs.";
  }
  return "No heat map: this pair is not among the worst ones. --worst N sets how many have one.";
}

const colors = decodeBytes(report.scale.colors);

/** Color a canvas by levels 0 to 255, row by row; `opacity` gives the opacity of a level. */
function paint(canvas, levels, opacity) {
  const drawing = canvas.getContext("2d");
  const pixels = drawing.createImageData(canvas.width, canvas.height);
  levels.forEach((level, cell) => {
    pixels.data.set(colors.subarray(level * 3, level * 3 + 3), cell * 4);
    pixels.data[cell * 4 + 3] = opacity(level) * 255;
  });
  drawing.putImageData(pixels, 0, 0);
}

function legend() {
  const { ticks, end } = report.scale;
  const width = Math.round(end * 255);
  const bar = make("canvas", { width, height: 1, "aria-hidden": "true" });
  paint(bar, Array.from({ length: width }, (_, level) => level), () => 1);
  const labels = ticks.map(({ value, along }) => {
    const label = make("span", {}, formatNumber(value));
    label.style.left = `${along / end * 100}%`;
    return label;
  });
  return make("div", { class: "legend", title: "Local distance: its mean over the image is the " +
    "distance. The scale is the same for all pairs." }, bar,
  make("div", { class: "axis quiet" }, ...labels));
}

/** What is left out of the pair, hatched; nothing if all of it counts. */
function hatchLayer(pair = state.selected) {
  const number = pairs.hatch[pair];
  if (number === null) return [];
  const hatched = make("i", { class: "layer hatched", title: "Left out of the comparison" });
  hatched.style.maskImage = `url("${report.hatches[number]}")`;
  return [hatched];
}

/** The boxes of the regions that differ, with their numbers. */
function boxLayers() {
  const regions = report.maps[state.context]?.[state.selected]?.regions ?? [];
  if (!showsBoxes) return [];
  return regions.map((region, place) => {
    const box = make("i", { class: `layer box${region.top < 0.05 ? " top" : ""}`, title: region.words },
      make("b", {}, String(place + 1)));
    box.style.inset = `${100 * region.top}% auto auto ${100 * region.left}%`;
    box.style.width = `${100 * region.width}%`;
    box.style.height = `${100 * region.height}%`;
    return box;
  }).reverse();
}

function layer(image, name) {
  if (image.url === null) {
    return make("p", { class: "layer message" }, `No image: ${image.why}`);
  }
  return make("img", { class: `layer ${name}`, src: image.url, alt: name, draggable: "false" });
}

/** Layers on top of each other in a box of one size, with a caption. */
function frame(size, scale, caption, ...layers) {
  const box = make("div", { class: "frame" }, ...layers);
  box.style.width = `${Math.round(size.width * scale)}px`;
  box.style.height = `${Math.round(size.height * scale)}px`;
  // Enlarged pixels stay sharp, unless the picture was reduced before.
  box.classList.toggle("pixels", scale >= 2 && !size.reduced);
  return make("figure", {}, box, make("figcaption", {}, caption));
}

function slider(left, right, value, changed) {
  const input = make("input", { type: "range", min: 0, max: 100, value,
    "aria-label": `From ${left} to ${right}` });
  input.addEventListener("input", () => changed(Number(input.value)));
  controls.append(make("span", {}, left), input, make("span", {}, right));
  return input;
}

/** Show everything the results state about a pair. */
function showFacts(pair) {
  const facts = byId("facts");
  facts.replaceChildren();
  if (pairs.error[pair] === "") showReading(facts, pair);
  else facts.append(make("p", { class: "bad" }, pairs.error[pair]));
  if (pairs.notes[pair] !== "") facts.append(fact("Notes", pairs.notes[pair]));
  facts.append(fact("Reference", pairs.reference[pair], sizeOf(pairs.referenceImage[pair])),
    fact("Candidate", pairs.candidate[pair], sizeOf(pairs.candidateImage[pair])));
  for (const [name, values] of Object.entries(pairs.other)) {
    if (values[pair] !== "") facts.append(fact(name, values[pair]));
  }
}

function showReading(facts, pair) {
  const several = report.contexts.length > 1;
  report.contexts.forEach((context, place) => {
    const above = isAbove(pair, place);
    const value = make("strong", { class: above ? "bad" : "" },
      formatDistance(distanceOf(pair, place), place));
    const words = [make("span", {}, several ? context.label : "distance")];
    if (above) words.push(make("span", { class: "bad" }, `above ${thresholdOf(place)}`));
    if (pairs.identical[pair]) words.push(make("span", {}, "identical images"));
    facts.append(several
      ? button({ class: "tile", "aria-pressed": String(place === state.context) },
        () => switchContext(place), value, ...words)
      : make("div", { class: "tile" }, value, ...words));
  });
  const { parts, words } = report.contexts[state.context];
  // Only pairs with a heat map have more than their parts: the results hold no more.
  const map = report.maps[state.context]?.[pair];
  if (map?.anchors) facts.append(make("p", { class: "anchors" }, map.anchors));
  if (parts.length > 0) {
    facts.append(make("h3", {}, "Made of"), bars(parts, partsOf(pair), map?.words));
  }
  if (map?.regions.length > 0) {
    facts.append(make("h3", {}, "Regions that differ"),
      make("ol", { class: "regions" }, ...map.regions.map((region) => {
        const limit = thresholdOf();
        const above = limit !== null && region.distance > limit;
        return make("li", { class: above ? "bad" : "" }, region.words);
      })));
  }
  if (map && map.size !== null) {
    facts.append(fact("Size, all kinds alike", formatNumber(map.size)));
  }
  if (words !== "") facts.append(fact("Context", words));
}

/** Change the context and the order of the pairs; the pair that is shown stays. */
function switchContext(place) {
  const pair = state.selected;
  chooseContext(place);
  // The filter may be "above the threshold", which the pair is not in this context.
  if (!state.order.includes(pair)) chooseKind("all");
  state.selected = pair;
  showViewer();
  byId("facts").querySelector("[aria-pressed=true]")?.focus();
}

const fact = (name, value, more = "") => make("div", { class: "fact" },
  make("h3", {}, name), make("bdi", {}, value), make("span", { class: "quiet" }, more));

function sizeOf(image) {
  const { width, height, thumbnail } = report.images[image];
  return thumbnail === null ? "" : `${width} × ${height} pixels`;
}

byId("back").addEventListener("click", () => viewer.close());
byId("previous").addEventListener("click", () => stepViewer(-1));
byId("next").addEventListener("click", () => stepViewer(1));
viewer.addEventListener("close", () => {
  clearInterval(blinkTimer);
  showSelected();
  grid.focus({ preventScroll: true });
});
new ResizeObserver(() => {
  if (viewer.open) redrawStage();
}).observe(stage);

viewer.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const onRange = event.target.matches("input");
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key] ??
    (onRange ? undefined : { ArrowRight: 1, ArrowLeft: -1 }[event.key]);
  if (event.key in VIEW_KEYS) chooseView(VIEW_KEYS[event.key]);
  else if (event.key === "b") toggleBoxes();
  else if (step !== undefined) stepViewer(step);
  else if (event.key === " " && view === 2 && !event.target.matches("button")) {
    controls.querySelector("[aria-keyshortcuts=Space]").click();
  } else return;
  event.preventDefault();
});
