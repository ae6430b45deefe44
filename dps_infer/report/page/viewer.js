// One pair, large: the window around its views.

const viewer = byId("viewer");
const stage = byId("stage");
const controls = byId("controls");

let view = 0;

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
  const holder = [controls, byId("views")].find((one) => one.contains(document.activeElement));
  state.selected = next;
  showViewer();
  // The control that had the focus was replaced.
  holder?.querySelector("input, button:not([aria-pressed=false])")?.focus();
}

/** Draw the pair in the chosen view. */
function showStage() {
  clearInterval(blinkTimer);
  frames = [];
  controls.replaceChildren();
  stage.replaceChildren();
  stage.className = "stage";
  const images = [pairs.referenceImage, pairs.candidateImage]
    .map((column) => picture(column[state.selected]));
  const missing = images.filter((image) => image.url === null);
  if (missing.length === 2 || (missing.length === 1 && view !== 0)) {
    stage.append(make("div", { class: "message" },
      ...missing.map((image) => make("p", {}, `No image: ${image.why}`))));
  } else {
    DRAW[view](...images);
  }
  byId("zoom").hidden = frames.length === 0;
  if (frames.length === 0) return;
  placeFrames();
  byId("boxes").hidden = !(report.maps[state.context]?.[state.selected]?.regions.length > 0);
  byId("boxes").setAttribute("aria-pressed", String(showsBoxes));
  const remark = remarkOf(images.filter((image) => image.url !== null));
  if (remark !== "") controls.append(make("p", { class: "quiet" }, remark));
}

/** What the pictures on the page lack of the images themselves; empty if nothing. */
function remarkOf(images) {
  const small = images.find((image) => image.reduced);
  if (small !== undefined) {
    const sides = `${small.shown} of ${Math.max(small.width, small.height)} pixels`;
    return small.large
      ? `Reduced for this page (${sides}): --preview or --exact keeps more.`
      : `A small preview (${sides}): --worst N gives the N worst pairs larger ones.`;
  }
  return images.every((image) => image.exact) ? ""
    : "Compressed for this page: --exact MB keeps the exact pixels of more pairs.";
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

const stageSize = () => (printing ? PRINTED_STAGE
  : { width: stage.clientWidth, height: stage.clientHeight });

/** Describe an image, with its larger picture if there is one. */
function picture(number) {
  const { thumbnail, preview, exact, width, height, why } = report.images[number];
  const side = Math.max(width, height);
  const most = exact ? side : preview ? report.previewSize : report.thumbnailSize;
  return { url: preview ?? thumbnail, width, height, why, exact, shown: Math.min(side, most),
    reduced: side > most, large: Boolean(preview) };
}

function toggleFacts() {
  const hidden = document.querySelector(".viewer-body").classList.toggle("alone");
  byId("facts-shown").setAttribute("aria-pressed", String(!hidden));
}

byId("boxes").addEventListener("click", toggleBoxes);
byId("back").addEventListener("click", () => viewer.close());
byId("facts-shown").addEventListener("click", toggleFacts);
byId("previous").addEventListener("click", () => stepViewer(-1));
byId("next").addEventListener("click", () => stepViewer(1));
viewer.addEventListener("close", () => {
  if (viewer.open) return; // it was opened again, for printing
  clearInterval(blinkTimer);
  showSelected();
  grid.focus({ preventScroll: true });
});
new ResizeObserver(() => {
  if (viewer.open && !printing) redrawStage();
}).observe(stage);

document.addEventListener("keydown", (event) => {
  if (!viewer.open || help.open || event.ctrlKey || event.metaKey || event.altKey) return;
  const onRange = event.target.matches("input");
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key] ??
    (onRange ? undefined : { ArrowRight: 1, ArrowLeft: -1 }[event.key]);
  if (event.shiftKey && event.key in MOVE_KEYS) moveBy(...MOVE_KEYS[event.key]);
  else if (event.key in VIEW_KEYS) chooseView(VIEW_KEYS[event.key]);
  else if (event.key in ZOOM_KEYS) ZOOM_KEYS[event.key]();
  else if (event.key === "b") toggleBoxes();
  else if (event.key === "i") toggleFacts();
  else if (event.key === "?") help.showModal();
  else if (step !== undefined) stepViewer(step);
  else if (event.key === " " && view === 2 && !event.target.matches("button")) {
    controls.querySelector("[aria-keyshortcuts=Space]").click();
  } else return;
  event.preventDefault();
});
