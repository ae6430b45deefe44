// The four views of a pair: side by side, under a slider, blinking, and as a heat map.

const BLINK_MILLISECONDS = 700;
const VIEWS = ["Side by side", "Slider", "Blink", "Heat map"];
const VIEW_KEYS = { 1: 0, 2: 1, 3: 2, 4: 3 };
const DRAW = [drawSides, drawSlider, drawBlink, drawHeat];
const WIDE = 900; // CSS pixels, as in page.css; pictures are beside each other from there on
const GAP = 12;
const CAPTION = 24;
const NEAR = 28; // CSS pixels; that close to the slider's line, it is dragged in a zoomed image

let split = 50; // position of the slider in percent from the left of what is shown
let heat = 50; // blend in percent: 0 shows only the candidate, 100 only the heat map
let blinking = !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
let showsBoxes = true; // the boxes of the regions that differ
let showsCandidate = false; // which image the blink shows
let blinkTimer = null;

/** The room of one of the pictures, `across` and `down` of which are on the stage. */
function spaceFor(across, down) {
  const { width, height } = stageSize();
  return {
    width: (width - GAP * (across + 1)) / across,
    height: (height - GAP * (down + 1) - CAPTION * down) / down,
  };
}

const scaleIn = (space, size) =>
  Math.max(0, Math.min(space.width / size.width, space.height / size.height));

function drawSides(reference, candidate) {
  const size = reference.url === null ? candidate : reference;
  const stacked = window.innerWidth <= WIDE &&
    scaleIn(spaceFor(1, 2), size) > scaleIn(spaceFor(2, 1), size);
  const space = () => (stacked ? spaceFor(1, 2) : spaceFor(2, 1));
  stage.classList.toggle("below", stacked);
  for (const [title, image, name] of
    [["Reference", reference, "reference"], ["Candidate", candidate, "candidate"]]) {
    const layers = () => [layer(image, name), ...hatchLayer(), ...boxLayers()];
    stage.append(frame({ ...size, reduced: image.reduced }, space, title, layers).figure);
  }
}

function drawSlider(reference, candidate) {
  const line = make("i", { class: "split", "aria-hidden": "true" });
  const place = ({ box, sheet, left }) => {
    const cut = (split / 100 * box.clientWidth - left) / sheet.clientWidth * 100;
    sheet.querySelector(".candidate").style.clipPath = `inset(0 0 0 ${within(0, cut, 100)}%)`;
    line.style.left = `${split}%`;
  };
  const one = frame(reference, () => spaceFor(1, 1), "Reference left, candidate right",
    () => [layer(reference, "reference"), layer(candidate, "candidate"), ...hatchLayer(),
      ...boxLayers()], place);
  one.box.append(line);
  one.box.classList.add("dragged");
  stage.append(one.figure);
  const input = slider("Reference", "Candidate", split, (value) => {
    split = value;
    placeFrames();
  });
  one.dragLine = (start) => {
    const share = (event) => {
      const { left, width } = one.box.getBoundingClientRect();
      return (event.clientX - left) / width * 100;
    };
    const away = Math.abs(share(start) - split) / 100 * one.box.clientWidth;
    // Elsewhere in a zoomed image, the image is dragged.
    if (stage.classList.contains("zoomed") && away > NEAR) return null;
    const drag = (event) => {
      split = Math.round(within(0, share(event), 100));
      input.value = split;
      placeFrames();
    };
    drag(start);
    return drag;
  };
}

function drawBlink(reference, candidate) {
  const { figure } = frame(reference, () => spaceFor(1, 1), "",
    () => [layer(reference, "reference"), layer(candidate, "candidate"), ...hatchLayer(),
      ...boxLayers()]);
  stage.append(figure);
  const show = () => {
    for (const top of figure.querySelectorAll(".candidate")) top.hidden = !showsCandidate;
    figure.querySelector("figcaption").textContent = showsCandidate ? "Candidate" : "Reference";
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
  const levels = decodeBytes(map.cells);
  const { figure } = frame({ ...reference, reduced: candidate.reduced }, () => spaceFor(1, 1),
    "Where the images differ",
    () => [layer(candidate, "candidate"),
      make("canvas", { class: "layer", width: map.width, height: map.height, role: "img",
        "aria-label": "Heat map" }),
      ...hatchLayer(), ...boxLayers()]);
  const draw = () => {
    // Halfway, the colors lie over gray, and nothing covers the image where it does not differ.
    const [overlay, solid] = [Math.min(1, heat / 50), Math.max(0, heat / 50 - 1)];
    const opacity = (level) => overlay * report.scale.maxOpacity * level / 255;
    for (const canvas of figure.querySelectorAll("canvas")) {
      paint(canvas, levels, (level) => opacity(level) * (1 - solid) + solid);
    }
    for (const image of figure.querySelectorAll(".candidate")) {
      image.style.filter = `grayscale(${overlay})`;
    }
  };
  stage.append(figure);
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
    const box = make("i", { class: `layer box${region.top < 0.05 ? " inside" : ""}`, title: region.words },
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

function slider(left, right, value, changed) {
  const input = make("input", { type: "range", min: 0, max: 100, value,
    "aria-label": `From ${left} to ${right}` });
  input.addEventListener("input", () => changed(Number(input.value)));
  controls.append(make("span", {}, left), input, make("span", {}, right));
  return input;
}
