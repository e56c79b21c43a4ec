/**
 * Where the inputs of a check come from: the seeded classes of every domain, or tokens of real text.
 *
 * @module
 */
import type { AnyAffineModel } from "./affine.ts";
import { type Domain, type InputClass, normal } from "./domain.ts";
import { type Dims, inputEntries, inputWidth, sampleInputs } from "./inputs.ts";
import { microSteps } from "./inputs.ts";
import { seeded } from "./random.ts";

/** Inputs for any model and extent. */
export interface InputSource {
  readonly name: string;
  /** `longest`: the longest T that the caller will slice these inputs to. */
  inputs(model: AnyAffineModel, dims: Dims, seed: number, longest: number): { [name: string]: Float32Array };
}

/** The seeded inputs of one class. */
export function seededSource(kind: InputClass): InputSource {
  return { name: kind, inputs: (model, dims, seed, longest) => sampleInputs(model, dims, kind, seed, longest) };
}

/** The three seeded classes: what every check runs on. */
export const seededSources: readonly InputSource[] = [
  seededSource("random"),
  seededSource("long-memory"),
  seededSource("adversarial"),
];

/** Numbers of an embedding vector of {@link textSource}. */
const EMBEDDING = 16;

/** Brings a vector of ordinary numbers into a domain: its own `squash`, or else a draw from its random class. */
function squashed(domain: Domain, vector: Float64Array, random: () => number, T: number): void {
  if (domain.squash !== undefined) domain.squash(vector);
  else domain.sample("random", random, vector, T);
}

/**
 * Real text as tokens: every byte has a seeded embedding, every input a seeded projection of it, brought into the
 * input's domain. Batch row b starts at byte `b · ⌊bytes / B⌋`; the text repeats where it is too short.
 */
export function textSource(bytes: Uint8Array, name: string = "text"): InputSource {
  return {
    name,
    inputs(model, dims, seed, longest) {
      const random = seeded(seed, "text", model.name);
      const embedding = Float64Array.from({ length: 256 * EMBEDDING }, () => normal(random));
      const out = sampleInputs(model, dims, "random", seed, longest);
      for (const [input, spec] of inputEntries(model)) {
        if (spec.per === "parameter") continue;
        const width = inputWidth(spec, dims.sizes);
        const micro = spec.micro === undefined || spec.micro === "every" ? microSteps(model) : 1;
        const stream = seeded(seed, "projection", model.name, input);
        const rows = dims.H * micro * width;
        const projection = Float64Array.from({ length: rows * EMBEDDING }, () => normal(stream) / Math.sqrt(EMBEDDING));
        const vector = new Float64Array(width);
        for (let b = 0; b < dims.B; b++) {
          for (let t = 0; t < dims.T; t++) {
            const byte = bytes[(Math.floor(bytes.length / dims.B) * b + t) % bytes.length]!;
            for (let part = 0; part < dims.H * micro; part++) {
              for (let i = 0; i < width; i++) {
                let sum = 0;
                for (let e = 0; e < EMBEDDING; e++) {
                  sum += projection[(part * width + i) * EMBEDDING + e]! * embedding[byte * EMBEDDING + e]!;
                }
                vector[i] = sum;
              }
              squashed(spec.domain, vector, stream, longest);
              out[input]!.set(vector, ((b * dims.T + t) * dims.H * micro + part) * width);
            }
          }
        }
      }
      return out;
    },
  };
}
