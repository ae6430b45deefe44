/** The page: images in, a context set by hand, and at once the distance, its parts and a map. */

import {
  type Comparison,
  commandOption,
  contextToml,
  DpsError,
  type Grid,
  type Measured,
  Metric,
  type WorkerEngine,
} from "../dist/index.js";
import { ContextPanel, type Preset } from "./context_panel.js";
import { byId, digits, element } from "./elements.js";
import { drawExample, LARGEST, openPicture, type Picture } from "./images.js";
import { Viewer } from "./viewer.js";
import { anchorWords, mainParts } from "./words.js";

interface Candidate {
  picture: Picture;
  measured: Measured | null;
  error: string;
  item: HTMLLIElement;
  button: HTMLButtonElement;
}

const status = byId("status");
const viewer = new Viewer();
let metric: Metric;
let engine: WorkerEngine;
let panel: ContextPanel;
let reference: Picture | undefined;
let candidates: Candidate[] = [];
let selected: Candidate | undefined;
let shown: { of: Candidate; map: Grid; distance: number } | undefined;
let mapping = false;
let mapWanted = false;

await start();

async function start(): Promise<void> {
  try {
    const presets = (await (await fetch("contexts.json")).json()) as Preset[];
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    metric = await Metric.load("universal.onnx", undefined, { worker });
    engine = metric.engine as WorkerEngine;
    panel = new ContextPanel(metric.manifest.metric.distortions, presets, update);
  } catch (error) {
    say(error instanceof DpsError ? error.message : `the metric cannot be loaded: ${error}`, true);
    return;
  }
  listen();
  update();
  say(`Ready, computing with ${metric.device === "webgpu" ? "WebGPU" : "WebAssembly"}.`);
  document.documentElement.dataset.ready = metric.device;
}

function listen(): void {
  const take = (input: HTMLInputElement, act: (files: File[]) => Promise<void>) => {
    input.addEventListener("change", () => {
      void act([...(input.files ?? [])]);
      input.value = "";
    });
  };
  take(byId("reference-file"), (files) => open(files.slice(0, 1), []));
  take(byId("candidate-files"), (files) => open([], files));
  byId("example").addEventListener("click", () => void showPictures(drawExample()));
  byId("clear").addEventListener("click", () => void clear());
  for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]] as const) {
    document.addEventListener(event, (happened) => {
      const files = [...(happened.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
      if (event === "dragleave" || files) document.body.classList.toggle("over", over);
      if (event === "dragleave" || !files) return;
      happened.preventDefault();
      if (event === "drop") {
        const dropped = [...happened.dataTransfer!.files];
        if (reference) void open([], dropped);
        else void open(dropped.slice(0, 1), dropped.slice(1));
      }
    });
  }
  for (const input of document.querySelectorAll("[name=mode], #show-boxes")) {
    input.addEventListener("change", draw);
  }
  window.addEventListener("resize", draw);
  byId("copy-command").addEventListener("click", () => void copy(command()));
  byId("copy-toml").addEventListener("click", () => {
    void copy(contextToml(panel.context, "by-hand", "Set by hand on the page with sliders."));
  });
}

/** Decode files: the reference, if there is a new one, and further candidates. */
async function open(first: File[], others: File[]): Promise<void> {
  delete document.documentElement.dataset.answered;
  try {
    say("Reading images …");
    const pictures = [];
    for (const file of [...first, ...others]) pictures.push(await openPicture(engine, file));
    if (first.length) {
      const before = candidates.map((one) => one.picture);
      await showPictures([...pictures.slice(0, 1), ...before, ...pictures.slice(1)]);
    } else await measure(pictures);
  } catch (error) {
    say(error instanceof Error ? error.message : `${error}`, true);
  }
}

/** Start anew with a reference and candidates. */
async function showPictures([first, ...others]: Picture[]): Promise<void> {
  await clear();
  reference = first!;
  byId("choose-reference").firstChild!.textContent = `Reference: ${reference.name} `;
  viewer.showImage(reference);
  await measure(others);
}

/** Forget all images. */
async function clear(): Promise<void> {
  delete document.documentElement.dataset.answered;
  const before = candidates;
  candidates = [];
  reference = selected = shown = undefined;
  byId("candidates").replaceChildren();
  byId("boxes").replaceChildren();
  byId("choose-reference").firstChild!.textContent = "Reference ";
  byId("distance-value").textContent = "–";
  byId("reading").textContent = "";
  viewer.clear();
  say("");
  for (const { measured } of before) await measured?.release();
}

/** Measure further candidates: the only step that takes time. */
async function measure(pictures: Picture[]): Promise<void> {
  const of = reference;
  if (!of) return say("Choose a reference first.", true);
  if (!pictures.length && !candidates.length) return say("Now add candidates of the same size.");
  for (const [index, picture] of pictures.entries()) {
    say(`Comparing ${picture.name} (${index + 1} of ${pictures.length}) …`);
    const candidate = addCandidate(picture);
    try {
      candidate.measured = await metric.measure(of.pixels, picture.pixels, { map: true });
    } catch (error) {
      candidate.error = error instanceof Error ? error.message : `${error}`;
    }
    // Other images have taken their place meanwhile.
    if (reference !== of) return candidate.measured?.release();
    candidates.push(candidate);
    if (!selected?.measured) selected = candidate;
    update();
  }
  const shrunk = [of, ...pictures].some(
    ({ pixels }) => pixels.width * pixels.height > 0.98 * LARGEST,
  );
  say(shrunk ? "Large images were shrunk to 3 megapixels, which makes changes smaller." : "");
  document.documentElement.dataset.answered = `${candidates.length}`;
}

function addCandidate(picture: Picture): Candidate {
  const item = element("li");
  const button = element("button", { type: "button" });
  button.append(
    element("img", { src: picture.thumbnail, alt: "" }),
    element("span"),
    element("b"),
  );
  button.children[1]!.append(
    element("span", { className: "name", textContent: picture.name }),
    element("small"),
  );
  item.append(button);
  byId("candidates").append(item);
  const candidate = { picture, measured: null, error: "", item, button };
  button.addEventListener("click", () => {
    selected = candidate;
    update();
  });
  return candidate;
}

/** Show everything in the context that is set: no run of the network, only the map's last step. */
function update(): void {
  const started = performance.now();
  try {
    metric = metric.inContext(panel.given);
  } catch (error) {
    return say(error instanceof Error ? error.message : `${error}`, true);
  }
  if (status.classList.contains("error")) say("");
  const found = candidates.map((candidate) => ({
    candidate,
    comparison: candidate.measured && metric.weigh(candidate.measured),
  }));
  found.sort(
    (first, second) =>
      (first.comparison?.distance ?? Infinity) - (second.comparison?.distance ?? Infinity),
  );
  const list = byId("candidates");
  found.forEach(({ candidate, comparison }, place) => {
    showCandidate(candidate, comparison);
    if (list.children[place] !== candidate.item) {
      // Moving an element takes the focus away from it.
      const focused = document.activeElement === candidate.button;
      list.insertBefore(candidate.item, list.children[place] ?? null);
      if (focused) candidate.button.focus();
    }
  });
  const comparison = found.find((one) => one.candidate === selected)?.comparison;
  if (comparison) {
    byId("distance-value").textContent = digits(comparison.distance);
    byId("reading").textContent = anchorWords(comparison);
    panel.showParts(comparison);
    void showMap();
  }
  byId("command").textContent = command();
  document.documentElement.dataset.updated = (performance.now() - started).toFixed(2);
}

function showCandidate({ button, error, picture }: Candidate, found: Comparison | null): void {
  button.setAttribute("aria-pressed", `${button === selected?.button}`);
  button.children[1]!.children[1]!.textContent = found ? mainParts(found) : error;
  button.children[2]!.textContent = found ? digits(found.distance) : "–";
  button.title = picture.name;
}

/** Fetch the map of the selected candidate in the context; of many changes, the last one counts. */
async function showMap(): Promise<void> {
  mapWanted = true;
  if (mapping) return;
  mapping = true;
  try {
    while (mapWanted && selected?.measured) {
      mapWanted = false;
      const [of, inContext] = [selected, metric];
      const map = await inContext.map(of.measured!);
      shown = { of, map, distance: inContext.weigh(of.measured!).distance };
      draw();
    }
  } catch (error) {
    // A pair that was replaced meanwhile has no map any more.
    if (shown?.of === selected) say(`${error}`, true);
  } finally {
    mapping = false;
  }
}

function draw(): void {
  if (!reference || !selected || shown?.of !== selected) return;
  const mode = document.querySelector<HTMLInputElement>("[name=mode]:checked")?.value;
  const { picture } = selected;
  const { cell } = metric.manifest;
  if (mode === "reference") viewer.showImage(reference);
  else if (mode === "candidate") viewer.showImage(picture);
  else viewer.showMap(picture, shown.map, cell, shown.distance);
  const boxed = byId<HTMLInputElement>("show-boxes").checked && shown.distance > 0;
  viewer.showBoxes(boxed ? metric.boxes(shown.map, picture.pixels) : [], picture);
  document.documentElement.dataset.drawn = `${Number(document.documentElement.dataset.drawn ?? 0) + 1}`;
}

function command(): string {
  return `dps-infer compare reference.png candidate.png ${commandOption(panel.context)}`;
}

async function copy(text: string): Promise<void> {
  byId("command").textContent = text;
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = "Copied.";
  } catch {
    // Without permission: it is selected, to be copied by hand.
    getSelection()?.selectAllChildren(byId("command"));
    byId("copied").textContent = "Press Ctrl+C to copy.";
  }
}

function say(text: string, error = false): void {
  status.textContent = text;
  status.classList.toggle("error", error);
}
