/** What changes from run to run of a program without recording it again: a small uniform buffer. */
import { BufferUsage, type Gpu } from "../gpu.ts";

export interface Knobs {
  /** Steps taken before this one. */
  readonly step: number;
  /** Of the randomness of dropout. */
  readonly seed: number;
  /** Learning rate. */
  readonly rate: number;
}

/** WGSL of the buffer: bind it as `uniform` of type `Knobs`. */
export const knobsStruct: string = /* wgsl */ `
struct Knobs { step: u32, seed: u32, rate: f32, unused: u32 }
`;

export function createKnobs(gpu: Gpu): GPUBuffer {
  return gpu.createBuffer({ bytes: 16, label: "knobs", usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST });
}

export function writeKnobs(gpu: Gpu, buffer: GPUBuffer, { step, seed, rate }: Knobs): void {
  const words = new Uint32Array([step, seed, 0, 0]);
  new Float32Array(words.buffer)[2] = rate;
  gpu.write(buffer, words);
}
