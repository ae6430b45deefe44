/** The images of the page: decoded in the worker, shrunk where they are too large for a browser. */

import type { WorkerEngine } from "../dist/index.js";

/** Pixels from which on an image is shrunk: WebAssembly has 4 GB at most. */
export const LARGEST = 3_000_000;

export interface Picture {
  name: string;
  pixels: ImageData;
  /** The address of a small picture of it. */
  thumbnail: string;
}

/** Decode a file. */
export async function openPicture(engine: WorkerEngine, file: File): Promise<Picture> {
  const pixels = await engine.decode(file, LARGEST);
  return { name: file.name, pixels, thumbnail: thumbnailOf(pixels) };
}

/** Draw an example: a landscape, and the same moved, darker, softer, and with something missing. */
export function drawExample(): Picture[] {
  const drawn = (name: string, change: (draw: CanvasRenderingContext2D) => void): Picture => {
    const canvas = new OffscreenCanvas(480, 320);
    const draw = canvas.getContext("2d", { willReadFrequently: true })!;
    change(draw as unknown as CanvasRenderingContext2D);
    const pixels = draw.getImageData(0, 0, 480, 320);
    return { name, pixels, thumbnail: thumbnailOf(pixels) };
  };
  return [
    drawn("reference", (draw) => landscape(draw)),
    drawn("shifted by 4 pixels", (draw) => {
      landscape(draw);
      draw.drawImage(draw.canvas, -4, 0);
    }),
    drawn("darker", (draw) => {
      draw.filter = "brightness(0.8)";
      landscape(draw);
    }),
    drawn("softer", (draw) => {
      landscape(draw);
      draw.filter = "blur(2px)";
      draw.drawImage(draw.canvas, 0, 0);
    }),
    drawn("without the tree", (draw) => landscape(draw, false)),
  ];
}

function landscape(draw: CanvasRenderingContext2D, tree = true): void {
  const sky = draw.createLinearGradient(0, 0, 0, 320);
  sky.addColorStop(0, "#5b8fd0");
  sky.addColorStop(1, "#f6d7a7");
  draw.fillStyle = sky;
  draw.fillRect(0, 0, 480, 320);
  draw.fillStyle = "#fff3c4";
  draw.beginPath();
  draw.arc(110, 80, 30, 0, 7);
  draw.fill();
  for (const [index, color] of ["#7d93a8", "#5d7f6a", "#3f6b45"].entries()) {
    draw.fillStyle = color;
    draw.beginPath();
    draw.moveTo(0, 320);
    for (let x = 0; x <= 480; x += 4) {
      const wave = Math.sin(x / (60 - 14 * index) + 2 * index) + 0.4 * Math.sin(x / 17 + index);
      draw.lineTo(x, 190 + 38 * index - (26 - 6 * index) * wave);
    }
    draw.lineTo(480, 320);
    draw.fill();
  }
  // Blades of grass: fine detail, the same in every drawing.
  for (let index = 0; index < 700; index++) {
    const x = (index * 137) % 480;
    const y = 255 + ((index * 71) % 65);
    draw.fillStyle = index % 3 ? "#5f8f4e" : "#2f5534";
    draw.fillRect(x, y, 1.5, 6);
  }
  if (!tree) return;
  draw.fillStyle = "#5a3d28";
  draw.fillRect(352, 190, 9, 60);
  draw.fillStyle = "#2e5b33";
  for (const [x, y, radius] of [[356, 165, 30], [338, 185, 20], [376, 183, 20]] as const) {
    draw.beginPath();
    draw.arc(x, y, radius, 0, 7);
    draw.fill();
  }
}

function thumbnailOf(pixels: ImageData): string {
  const full = new OffscreenCanvas(pixels.width, pixels.height);
  full.getContext("2d")!.putImageData(pixels, 0, 0);
  const canvas = document.createElement("canvas");
  canvas.width = 112;
  canvas.height = Math.max(1, Math.round((112 * pixels.height) / pixels.width));
  const draw = canvas.getContext("2d")!;
  draw.drawImage(full, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL();
}
