/** Print the largest resident memory of this process after one comparison in WebAssembly, in bytes. */

import * as runtime from "onnxruntime-web";

import { Metric } from "../dist/index.js";

const [file, height, width] = process.argv.slice(2);
const size = { width: Number(width), height: Number(height) };
const drawn = (shift) => ({
  ...size,
  data: Uint8Array.from({ length: 3 * size.width * size.height }, (_, index) => {
    const [x, y] = [Math.floor(index / 3) % size.width, Math.floor(index / 3 / size.width)];
    return 120 + 80 * Math.sin((x + shift) / 31) * Math.cos(y / 47) + ((7 * (x + shift) + 3 * y) % 23);
  }),
});
const metric = await Metric.load(file, undefined, { runtime, device: "wasm", threads: 1 });
await metric.compare(drawn(0), drawn(3));
console.log(1024 * process.resourceUsage().maxRSS);
