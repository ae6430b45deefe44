/** The large picture: the heat map over the candidate, or one of the images, and boxes. */

import { type Box, type Grid, localDistances, paint } from "../dist/index.js";
import { byId, element } from "./elements.js";
import type { Picture } from "./images.js";

/** Width and height at most of the picture that is colored; the page enlarges it. */
const LARGEST = 360;

export class Viewer {
  readonly #canvas = byId<HTMLCanvasElement>("canvas");
  #small: { of: ImageData; pixels: ImageData } | undefined;

  /** Show an image as it is. */
  showImage({ pixels, name }: Picture): void {
    this.#resize(pixels.width, pixels.height);
    this.#canvas.getContext("2d")!.putImageData(pixels, 0, 0);
    this.#canvas.setAttribute("aria-label", name);
  }

  /** Show where the distance comes from, over the candidate in gray. */
  showMap({ pixels, name }: Picture, map: Grid, cell: number | null, distance: number): void {
    const small = this.#shrunk(pixels);
    const local = localDistances(map, pixels, cell, distance, small);
    this.#resize(small.width, small.height);
    const colored = new ImageData(paint(local, small.data), small.width, small.height);
    this.#canvas.getContext("2d")!.putImageData(colored, 0, 0);
    this.#canvas.setAttribute("aria-label", `heat map of ${name}`);
  }

  clear(): void {
    this.#canvas.getContext("2d")!.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#canvas.setAttribute("aria-label", "No images yet");
  }

  showBoxes(boxes: readonly Box[], { pixels }: Picture): void {
    // The canvas may be letterboxed: boxes lie over the image in it.
    const { clientWidth, clientHeight } = this.#canvas;
    const scale = Math.min(clientWidth / pixels.width, clientHeight / pixels.height);
    const left = (clientWidth - pixels.width * scale) / 2;
    const top = (clientHeight - pixels.height * scale) / 2;
    byId("boxes").replaceChildren(
      ...boxes.slice(0, 6).map((box) => {
        // Near the right border, the label goes to the left.
        const right = box.x + box.width > 0.85 * pixels.width;
        const shown = element("div", { className: right ? "right" : "" });
        shown.style.left = `${left + box.x * scale}px`;
        shown.style.top = `${top + box.y * scale}px`;
        shown.style.width = `${box.width * scale}px`;
        shown.style.height = `${box.height * scale}px`;
        shown.append(element("span", { textContent: `${Math.round(100 * box.share)} %` }));
        return shown;
      }),
    );
  }

  #resize(width: number, height: number): void {
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
  }

  #shrunk(pixels: ImageData): ImageData {
    if (this.#small?.of === pixels) return this.#small.pixels;
    const scale = Math.min(1, LARGEST / Math.max(pixels.width, pixels.height));
    const [width, height] = [pixels.width, pixels.height].map((side) =>
      Math.max(1, Math.round(side * scale)),
    ) as [number, number];
    const full = new OffscreenCanvas(pixels.width, pixels.height);
    full.getContext("2d")!.putImageData(pixels, 0, 0);
    const draw = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
    draw.fillStyle = "#fff";
    draw.fillRect(0, 0, width, height);
    draw.imageSmoothingQuality = "high";
    draw.drawImage(full, 0, 0, width, height);
    this.#small = { of: pixels, pixels: draw.getImageData(0, 0, width, height) };
    return this.#small.pixels;
  }
}
