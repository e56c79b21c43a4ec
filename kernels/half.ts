/**
 * Numbers of 16 bits (IEEE binary16) on the host: as the GPU stores them, two to a 32-bit word.
 *
 * @module
 */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The bits of the nearest half, ties to even; beyond 65504 an infinity. */
export function toHalfBits(x: number): number {
  float[0] = x;
  const word = bits[0]!;
  const sign = (word >>> 16) & 0x8000;
  const size = word & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;
  // 65520 is the midpoint between the largest half and what would follow.
  if (size >= 0x477ff000) return sign | 0x7c00;
  if (size < 0x38800000) {
    // Subnormal halves are multiples of 2^−24: adding 1/2 to the magnitude leaves the multiple in its last bits, rounded.
    float[0] = Math.abs(float[0]!) + 0.5;
    return sign | (bits[0]! - 0x3f000000);
  }
  const even = (size >>> 13) & 1;
  return sign | ((size - 0x38000000 + 0xfff + even) >>> 13);
}

/** The number that a half's bits stand for. */
export function fromHalfBits(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}

/** Packs numbers as halves, in whole 32-bit words: an odd count ends with a zero half. */
export function packHalves(values: ArrayLike<number>): Uint16Array {
  const packed = new Uint16Array(2 * Math.ceil(values.length / 2));
  for (let i = 0; i < values.length; i++) packed[i] = toHalfBits(values[i]!);
  return packed;
}

/** All 65536 of them: a look-up is some fifty times faster than taking bits apart. */
let numbers: Float32Array | undefined;

/** The numbers of packed halves. */
export function unpackHalves(packed: Uint16Array, length: number = packed.length): Float32Array {
  numbers ??= Float32Array.from({ length: 1 << 16 }, (_, half) => fromHalfBits(half));
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) out[i] = numbers[packed[i]!]!;
  return out;
}
