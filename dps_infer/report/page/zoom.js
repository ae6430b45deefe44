// The part of the pair that is shown: zoom, position and loupe, the same for all pictures of it.

const MOST_ZOOM = 32;
const STEPS = [0.05, 0.1, 0.15, 0.25, 0.33, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, MOST_ZOOM];
const LOUPE_ZOOM = 4; // in screen pixels per pixel, and at least twice as large as without it
const MOVE = 0.1; // of the visible part, with the keyboard

const look = {
  zoom: null, // screen pixels per pixel of the image; null fits it into the window
  x: 0.5, // the middle of what is shown, as a share of the image's width
  y: 0.5,
  loupe: false,
  spot: { x: 0.5, y: 0.5 }, // what the loupe is above
};
let frames = []; // the pictures on the stage

/** CSS pixels per pixel of the image: at zoom 1, one pixel is exactly one of the screen. */
const cssScale = (zoom) => zoom / window.devicePixelRatio;
const fitZoom = () => (frames.length === 0 ? 1
  : scaleIn(frames[0].space(), frames[0].size) * window.devicePixelRatio);
const zoomNow = () => look.zoom ?? fitZoom();
const within = (low, value, high) => Math.min(Math.max(value, low), high);

/**
 * A picture of the pair: layers on top of each other, of which a part is shown, and a caption.
 *
 * `space` returns the room in CSS pixels, `layers` makes the layers, and `placed` is called with
 * the frame after each change of the part.
 */
function frame(size, space, caption, layers, placed = () => {}) {
  const sheet = make("div", { class: "sheet" }, ...layers());
  const box = make("div", { class: "frame" }, sheet);
  const figure = make("figure", {}, box, make("figcaption", {}, caption));
  const one = { size, space, figure, box, sheet, loupe: null, placed, left: 0, top: 0 };
  if (look.loupe) {
    one.loupe = make("div", { class: "loupe", "aria-hidden": "true" },
      make("div", { class: "sheet" }, ...layers()));
    figure.append(one.loupe);
  }
  frames.push(one);
  box.addEventListener("pointerdown", (event) => startDrag(one, event));
  box.addEventListener("pointermove", (event) => {
    if (look.loupe) moveLoupe(pointIn(one, event));
  });
  box.addEventListener("dblclick", (event) => toggleWhole(pointIn(one, event)));
  box.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(zoomNow() * 2 ** (-within(-200, event.deltaY, 200) / 250), pointIn(one, event));
  }, { passive: false });
  return one;
}

/** The point of the image under the pointer, in shares of its sides. */
function pointIn({ box, left, top, size }, event) {
  const { x, y } = box.getBoundingClientRect();
  const scale = cssScale(zoomNow());
  return {
    x: within(0, (event.clientX - x - left) / scale / size.width, 1),
    y: within(0, (event.clientY - y - top) / scale / size.height, 1),
  };
}

/** Drag the image, unless the slider's line is what is dragged. */
function startDrag(one, event) {
  if (event.button !== 0) return;
  const drag = one.dragLine?.(event) ?? dragImage(one, event);
  if (drag === null) return;
  one.box.setPointerCapture(event.pointerId);
  one.box.addEventListener("pointermove", drag);
  one.box.addEventListener("lostpointercapture",
    () => one.box.removeEventListener("pointermove", drag), { once: true });
}

function dragImage({ size }, start) {
  if (!stage.classList.contains("zoomed")) return null;
  const { x, y } = look;
  const scale = cssScale(zoomNow());
  return (event) => moveTo(x - (event.clientX - start.clientX) / scale / size.width,
    y - (event.clientY - start.clientY) / scale / size.height);
}

/** Place the pictures by `look`, which is first brought into its limits. */
function placeFrames() {
  if (frames.length === 0) return;
  const scale = cssScale(zoomNow());
  const [{ size }] = frames;
  const space = frames[0].space();
  const half = (side) => Math.min(0.5, space[side] / scale / size[side] / 2);
  look.x = within(half("width"), look.x, 1 - half("width"));
  look.y = within(half("height"), look.y, 1 - half("height"));
  stage.classList.toggle("zoomed", half("width") < 0.5 || half("height") < 0.5);
  for (const one of frames) {
    const [width, height] = [one.size.width * scale, one.size.height * scale];
    const [across, down] = [Math.min(width, space.width), Math.min(height, space.height)];
    one.left = across / 2 - look.x * width;
    one.top = down / 2 - look.y * height;
    setBox(one.box, { width: across, height: down });
    setBox(one.sheet, { width, height, left: one.left, top: one.top });
    // Enlarged pixels stay sharp, unless the picture was reduced before.
    one.sheet.classList.toggle("pixels", scale >= 2 && !one.size.reduced);
    one.placed(one);
  }
  placeLoupes();
  showZoom();
}

function placeLoupes() {
  const zoom = Math.max(LOUPE_ZOOM, 2 * zoomNow());
  const [scale, shown] = [cssScale(zoom), cssScale(zoomNow())];
  for (const { loupe, box, sheet, size, left, top } of frames) {
    if (loupe === null) continue;
    const middle = loupe.clientWidth / 2;
    const radius = loupe.offsetWidth / 2;
    const { x, y } = look.spot;
    const [width, height] = [size.width, size.height];
    setBox(loupe, {
      left: box.offsetLeft + within(0, left + x * width * shown, box.clientWidth) - radius,
      top: box.offsetTop + within(0, top + y * height * shown, box.clientHeight) - radius,
    });
    setBox(loupe.firstChild, { width: width * scale, height: height * scale,
      left: middle - x * width * scale, top: middle - y * height * scale });
    loupe.firstChild.classList.toggle("pixels", !size.reduced);
    // The slider cuts the candidate off at the same place of the image.
    const cut = sheet.querySelector(".candidate")?.style.clipPath ?? "";
    const inside = loupe.querySelector(".candidate");
    if (inside !== null) inside.style.clipPath = cut;
  }
}

function setBox(node, sides) {
  for (const [side, value] of Object.entries(sides)) node.style[side] = `${value}px`;
}

/** Zoom; the point of the image that is given stays where it is. */
function zoomAt(wanted, point = { x: look.x, y: look.y }) {
  const before = zoomNow();
  const zoom = within(Math.min(1, fitZoom()), wanted, Math.max(MOST_ZOOM, fitZoom()));
  look.x = point.x + (look.x - point.x) * before / zoom;
  look.y = point.y + (look.y - point.y) * before / zoom;
  look.zoom = zoom;
  placeFrames();
}

function zoomStep(step) {
  const now = zoomNow();
  const next = step > 0
    ? STEPS.find((zoom) => zoom > now * 1.01)
    : STEPS.findLast((zoom) => zoom < now * 0.99);
  if (next !== undefined) zoomAt(next, look.loupe ? look.spot : undefined);
}

function zoomToFit() {
  look.zoom = null;
  placeFrames();
}

/** Switch between one pixel per pixel of the screen, and the whole image. */
function toggleWhole(point) {
  if (look.zoom === 1) {
    zoomToFit();
    return;
  }
  if (point !== undefined) [look.x, look.y] = [point.x, point.y];
  look.zoom = 1;
  placeFrames();
}

/** Show a region, in shares of the image's sides, with a little around it. */
function zoomTo({ left, top, width, height }) {
  if (frames.length === 0) return;
  const [{ size, space }] = frames;
  const part = { width: size.width * width, height: size.height * height };
  [look.x, look.y] = [left + width / 2, top + height / 2];
  look.spot = { x: look.x, y: look.y };
  zoomAt(Math.max(fitZoom(), 0.7 * scaleIn(space(), part) * window.devicePixelRatio));
}

function moveTo(x, y) {
  [look.x, look.y] = [x, y];
  placeFrames();
}

/** Move the loupe, or else what is shown, by shares of the part that is visible. */
function moveBy(across, down) {
  if (frames.length === 0) return;
  const [{ size, box }] = frames;
  const scale = cssScale(zoomNow());
  const x = MOVE * across * Math.min(1, box.clientWidth / scale / size.width);
  const y = MOVE * down * Math.min(1, box.clientHeight / scale / size.height);
  if (look.loupe) moveLoupe({ x: look.spot.x + x, y: look.spot.y + y });
  else moveTo(look.x + x, look.y + y);
}

function moveLoupe({ x, y }) {
  look.spot = { x: within(0, x, 1), y: within(0, y, 1) };
  placeLoupes();
}

function toggleLoupe() {
  look.loupe = !look.loupe;
  if (look.loupe) look.spot = { x: look.x, y: look.y };
  redrawStage();
}

function showZoom() {
  byId("fit").setAttribute("aria-pressed", String(look.zoom === null));
  byId("whole").setAttribute("aria-pressed", String(look.zoom === 1));
  byId("loupe").setAttribute("aria-pressed", String(look.loupe));
  byId("percent").textContent = `${Math.round(100 * zoomNow())} %`;
}

byId("fit").addEventListener("click", zoomToFit);
byId("whole").addEventListener("click", () => toggleWhole());
byId("smaller").addEventListener("click", () => zoomStep(-1));
byId("larger").addEventListener("click", () => zoomStep(1));
byId("loupe").addEventListener("click", toggleLoupe);

const ZOOM_KEYS = {
  "+": () => zoomStep(1),
  "=": () => zoomStep(1),
  "-": () => zoomStep(-1),
  0: zoomToFit,
  z: () => toggleWhole(),
  l: toggleLoupe,
};
const MOVE_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
