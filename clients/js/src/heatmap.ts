/** Where two images differ: local distances at the size of the image, colors, and boxes. */

/** Numbers on a grid [rows, columns], row by row. */
export interface Grid {
  data: Float32Array;
  rows: number;
  columns: number;
}

export interface Size {
  width: number;
  height: number;
}

/** A part of the image where it differs most, in pixels. */
export interface Box extends Size {
  x: number;
  y: number;
  /** What it holds of the whole difference, in [0, 1]. */
  share: number;
  /** The mean local distance of its places. */
  distance: number;
}

/** Places of a map along each side of a cell. */
const PLACES = 8;
/** Standard deviation of the smoothing, in places, and how far it reaches. */
const SPREAD = 0.5;
const REACH = 4;
/** The local distance in the middle of the color scale. */
const MIDDLE = 0.5;
/** Opacity of an overlay at the end of the scale. */
const MAX_OPACITY = 0.75;
/** Share of the largest local distance from which on a place belongs to a box. */
const BOXED = 0.2;
/** Places that are at most so far apart share a box. */
const NEAR = 2;
const SMALLEST_SHARE = 0.02;

/** Every 5th of the 256 colors of inferno, RGB in hexadecimal. */
const INFERNO =
  "00000402020c0504170a072210092d160b391e0c45260c512f0a5b380962400a67490b6a510e6c" +
  "59106e61136e69166e71196e781c6d801f6c88226a902568982766a02a63a82e5fb0315bb73557" +
  "bf3952c63d4dcc4248d34743d94d3ddf5337e45a31e9612bed6925f1711ff47918f78212f98b0b" +
  "fa9407fb9d07fca60cfcb014fbba1ffac42af8cd37f6d746f4e156f2ea69f2f27df5f992fcffa4";

/** Return the side of the places of a map in pixels: down and across. */
export function pitchOf(map: Grid, image: Size, cell: number | null): [number, number] {
  if (cell !== null) return [cell / PLACES, cell / PLACES];
  return [image.height / map.rows, image.width / map.columns];
}

/**
 * Return the local distances of an image: their mean is the distance of the pair.
 *
 * @param map - of the pair.
 * @param image - the size of the images.
 * @param cell - of the manifest.
 * @param distance - of the pair.
 * @param shown - the size of the result; default: that of the images.
 * @returns row by row, as many as `shown` has pixels.
 */
export function localDistances(
  map: Grid,
  image: Size,
  cell: number | null,
  distance: number,
  shown: Size = image,
): Float32Array {
  const [down, across] = pitchOf(map, image, cell);
  const rows = smoothing(map.rows, image.height / down, shown.height);
  const columns = smoothing(map.columns, image.width / across, shown.width);
  const local = new Float32Array(shown.width * shown.height);
  const line = new Float64Array(map.columns);
  let total = 0;
  for (let y = 0; y < shown.height; y++) {
    line.fill(0);
    forEachTap(rows, y, (row, weight) => {
      for (let column = 0; column < map.columns; column++) {
        line[column]! += weight * (map.data[row * map.columns + column] as number);
      }
    });
    for (let x = 0; x < shown.width; x++) {
      let value = 0;
      forEachTap(columns, x, (column, weight) => {
        value += weight * (line[column] as number);
      });
      local[y * shown.width + x] = value;
      total += value;
    }
  }
  // Places may reach beyond the image: without this, the mean over the image would be too large.
  const scale = total > 0 ? (distance * local.length) / total : 1;
  return local.map((value) => value * scale);
}

/**
 * Color local distances: a distance d has the color at d / (d + 0.5) of the scale.
 *
 * @param over - an RGBA image of the same number of pixels, to lay the colors over in gray.
 * @returns RGBA.
 */
export function paint(local: Float32Array, over?: Uint8ClampedArray): Uint8ClampedArray<ArrayBuffer> {
  const picture = new Uint8ClampedArray(4 * local.length);
  local.forEach((value, index) => {
    const share = value / (value + MIDDLE);
    const color = 3 * Math.round(share * 255);
    const place = 4 * index;
    const opacity = over ? MAX_OPACITY * share : 1;
    const gray = over
      ? 0.299 * over[place]! + 0.587 * over[place + 1]! + 0.114 * over[place + 2]!
      : 0;
    for (let channel = 0; channel < 3; channel++) {
      picture[place + channel] = gray * (1 - opacity) + COLORS[color + channel]! * opacity;
    }
    picture[place + 3] = 255;
  });
  return picture;
}

/**
 * Return boxes around connected places that differ most, the largest share first.
 *
 * A place counts from a fifth of the largest local distance on; places up to two apart share a box,
 * and boxes with under 2 % of the difference are left out.
 */
export function boxesOf(map: Grid, image: Size, cell: number | null): Box[] {
  const [down, across] = pitchOf(map, image, cell);
  const rows = Math.min(map.rows, Math.ceil(image.height / down));
  const columns = Math.min(map.columns, Math.ceil(image.width / across));
  const at = (row: number, column: number) => map.data[row * map.columns + column] as number;
  let largest = 0;
  let total = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      largest = Math.max(largest, at(row, column));
      total += at(row, column);
    }
  }
  const seen = new Uint8Array(rows * columns);
  const boxes: Box[] = [];
  for (let start = 0; start < rows * columns && largest > 0; start++) {
    const waiting = [start];
    const places: [number, number][] = [];
    while (waiting.length) {
      const place = waiting.pop() as number;
      const [row, column] = [Math.floor(place / columns), place % columns];
      if (seen[place] || at(row, column) < BOXED * largest) continue;
      seen[place] = 1;
      places.push([row, column]);
      for (let r = Math.max(0, row - NEAR); r <= Math.min(rows - 1, row + NEAR); r++) {
        for (let c = Math.max(0, column - NEAR); c <= Math.min(columns - 1, column + NEAR); c++) {
          if (!seen[r * columns + c]) waiting.push(r * columns + c);
        }
      }
    }
    if (places.length) boxes.push(boxAround(places, down, across, image, at, total));
  }
  return boxes
    .filter((box) => box.share >= SMALLEST_SHARE)
    .sort((first, second) => second.share - first.share);
}

function boxAround(
  places: readonly [number, number][],
  down: number,
  across: number,
  image: Size,
  at: (row: number, column: number) => number,
  total: number,
): Box {
  const rows = places.map(([row]) => row);
  const columns = places.map(([, column]) => column);
  const [x, y] = [Math.min(...columns) * across, Math.min(...rows) * down];
  const held = places.reduce((sum, [row, column]) => sum + at(row, column), 0);
  return {
    x: Math.round(x),
    y: Math.round(y),
    width: Math.round(Math.min((Math.max(...columns) + 1) * across, image.width) - x),
    height: Math.round(Math.min((Math.max(...rows) + 1) * down, image.height) - y),
    share: held / total,
    distance: held / places.length,
  };
}

interface Taps {
  first: Int32Array;
  weights: Float64Array;
}

/** The weights of the places around each pixel of a line: a Gaussian, adding up to 1. */
function smoothing(places: number, length: number, pixels: number): Taps {
  const width = 2 * REACH + 1;
  const first = new Int32Array(pixels);
  const weights = new Float64Array(pixels * width);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const position = ((pixel + 0.5) * length) / pixels;
    const nearest = Math.min(places - 1, Math.floor(position));
    const start = nearest - REACH;
    let sum = 0;
    for (let tap = 0; tap < width; tap++) {
      const place = start + tap;
      if (place < 0 || place >= places) continue;
      const steps = (position - place - 0.5) / SPREAD;
      sum += weights[pixel * width + tap] = Math.exp(-(steps * steps) / 2);
    }
    for (let tap = 0; tap < width; tap++) weights[pixel * width + tap]! /= sum;
    first[pixel] = start;
  }
  return { first, weights };
}

function forEachTap(
  { first, weights }: Taps,
  pixel: number,
  use: (place: number, weight: number) => void,
): void {
  const width = 2 * REACH + 1;
  for (let tap = 0; tap < width; tap++) {
    const weight = weights[pixel * width + tap] as number;
    if (weight) use((first[pixel] as number) + tap, weight);
  }
}

/** The 256 colors of the scale, RGB: interpolated between those of `INFERNO`. */
const COLORS = (() => {
  const known = INFERNO.match(/../g)!.map((digits) => parseInt(digits, 16));
  return Uint8Array.from({ length: 3 * 256 }, (_, index) => {
    const [place, channel] = [Math.floor(index / 3) / 5, index % 3];
    const from = Math.min(Math.floor(place), 50);
    const [low, high] = [known[3 * from + channel]!, known[3 * (from + 1) + channel]!];
    return Math.round(low + (place - from) * (high - low));
  });
})();
