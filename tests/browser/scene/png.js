// Smaller PNGs: the 256 colours that a page has most of, in place of all of them.

import { deflateSync, inflateSync } from "node:zlib";

/** The chunks of a PNG, by their names. */
function* chunks(png) {
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    yield [png.toString("latin1", at + 4, at + 8), png.subarray(at + 8, at + 8 + length)];
    at += 12 + length;
  }
}

const CRC = Uint32Array.from({ length: 256 }, (_, one) => {
  for (let bit = 0; bit < 8; bit++) one = one & 1 ? 0xedb88320 ^ (one >>> 1) : one >>> 1;
  return one;
});

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const crc = ~body.reduce((sum, byte) => CRC[(sum ^ byte) & 255] ^ (sum >>> 8), ~0) >>> 0;
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc, body.length + 4);
  return whole;
}

/** The bytes of the pixels, without the filters of the lines (PNG, 9.2). */
function pixels(data, width, height, size) {
  const line = width * size;
  const out = Buffer.alloc(line * height);
  for (let y = 0; y < height; y++) {
    const filter = data[y * (line + 1)];
    for (let x = 0; x < line; x++) {
      const at = y * line + x;
      const left = x < size ? 0 : out[at - size];
      const up = y ? out[at - line] : 0;
      const corner = y && x >= size ? out[at - line - size] : 0;
      const paeth = () => {
        const near = [left, up, corner].map((one) => Math.abs(left + up - corner - one));
        return near[0] <= near[1] && near[0] <= near[2] ? left : near[1] <= near[2] ? up : corner;
      };
      const guess = [() => 0, () => left, () => up, () => (left + up) >> 1, paeth][filter]();
      out[at] = data[y * (line + 1) + 1 + x] + guess;
    }
  }
  return out;
}

/** The same picture of 8 bits a channel with 256 colours at most. */
export function smaller(png) {
  const parts = [...chunks(png)];
  const head = parts.find(([name]) => name === "IHDR")[1];
  const [width, height, size] = [head.readUInt32BE(0), head.readUInt32BE(4), head[9] === 6 ? 4 : 3];
  const data = inflateSync(Buffer.concat(parts.filter(([name]) => name === "IDAT").map(([, data]) => data)));
  const all = pixels(data, width, height, size);
  const at = (place) => (all[place * size] << 16) | (all[place * size + 1] << 8) | all[place * size + 2];
  const counts = new Map();
  for (let place = 0; place < width * height; place++) counts.set(at(place), (counts.get(at(place)) ?? 0) + 1);
  const kept = [...counts].sort(([, a], [, b]) => b - a).slice(0, 256).map(([colour]) => colour);
  const nearest = new Map(kept.map((colour, place) => [colour, place]));
  const apart = (a, b) => [16, 8, 0].reduce((sum, bits) => sum + (((a >> bits) & 255) - ((b >> bits) & 255)) ** 2, 0);
  for (const colour of counts.keys()) {
    if (nearest.has(colour)) continue;
    const far = kept.map((one) => apart(one, colour));
    nearest.set(colour, far.indexOf(Math.min(...far)));
  }
  const lines = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) lines[y * (width + 1) + 1 + x] = nearest.get(at(y * width + x));
  }
  const palette = Buffer.from(kept.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  const header = Buffer.from(head);
  header.set([8, 3, 0, 0, 0], 8);
  const body = [chunk("IHDR", header), chunk("PLTE", palette), chunk("IDAT", deflateSync(lines, { level: 9 })), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([png.subarray(0, 8), ...body]);
}
