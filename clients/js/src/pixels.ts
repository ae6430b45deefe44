/** Images as they are compared: 8-bit RGB, without alpha. */

import { DpsError } from "./errors.js";

/** An image, RGB or RGBA (not premultiplied), row by row from the top; an `ImageData` is one. */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/** Red, green and blue, 0 to 255. */
export type Color = readonly [number, number, number];

export const WHITE: Color = [255, 255, 255];
export const BLACK: Color = [0, 0, 0];

/**
 * Return the pairs of RGB images, without alpha, whose largest distance counts.
 *
 * Alpha is composited over the background. Where the alphas of two images differ, a second pair
 * lies over its opposite: no difference can hide from both.
 */
export function renderings(
  reference: Pixels,
  candidate: Pixels,
  background: Color = WHITE,
): [Uint8Array, Uint8Array][] {
  const channels = [channelsOf(reference), channelsOf(candidate)];
  if (reference.width !== candidate.width || reference.height !== candidate.height) {
    throw new DpsError(
      `the sizes differ: ${sizeOf(reference)} and ${sizeOf(candidate)} (width x height): ` +
        "crop or resize one",
    );
  }
  const backgrounds = [background];
  if (channels.includes(4) && alphasDiffer(reference, candidate)) {
    const bright = background[0] + background[1] + background[2] > 3 * 127;
    backgrounds.push(bright ? BLACK : WHITE);
  }
  return backgrounds.map((behind) => [composite(reference, behind), composite(candidate, behind)]);
}

/** Return an image as RGB over a background. */
export function composite(image: Pixels, background: Color = WHITE): Uint8Array {
  const { data } = image;
  if (channelsOf(image) === 3) return data instanceof Uint8Array ? data : new Uint8Array(data);
  const rgb = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    const alpha = data[from + 3] as number;
    for (let channel = 0; channel < 3; channel++) {
      const value = data[from + channel] as number;
      // As integers, rounded half down.
      const sum = value * alpha + (background[channel] as number) * (255 - alpha) + 127;
      rgb[to + channel] = alpha === 255 ? value : (sum / 255) | 0;
    }
  }
  return rgb;
}

/**
 * Decode an image with the browser: its orientation is applied, its color profile is not.
 *
 * Works in pages and in workers. Browsers keep pixels premultiplied, so colors of translucent
 * pixels may be a level off.
 *
 * @param largest - pixels that are kept at most; a larger image is shrunk. Default: any.
 */
export async function decodeImage(blob: Blob, largest = Infinity): Promise<ImageData> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new DpsError("this is no image that the browser can read");
  }
  const scale = Math.min(1, Math.sqrt(largest / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new DpsError("the browser cannot decode images in a worker");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** Whether no byte of two images of one size differs. */
export function equalBytes(first: Uint8Array, second: Uint8Array): boolean {
  return first.length === second.length && first.every((value, index) => value === second[index]);
}

function channelsOf({ data, width, height }: Pixels): 3 | 4 {
  const bytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  const channels = data.length / (width * height);
  if (!bytes || !(width > 0) || !(height > 0) || (channels !== 3 && channels !== 4)) {
    throw new DpsError(
      `expected width * height * 3 bytes of RGB, or * 4 of RGBA, got ${data.length} values for ` +
        `${width}x${height}`,
    );
  }
  return channels;
}

function alphasDiffer(first: Pixels, second: Pixels): boolean {
  const alpha = (image: Pixels, index: number) =>
    channelsOf(image) === 3 ? 255 : (image.data[4 * index + 3] as number);
  for (let index = 0; index < first.width * first.height; index++) {
    if (alpha(first, index) !== alpha(second, index)) return true;
  }
  return false;
}

function sizeOf(image: Pixels): string {
  return `${image.width}x${image.height}`;
}
