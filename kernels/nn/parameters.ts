/** The numbers a network begins with: the same from the same seed, whatever the device. */
import { InputError } from "../../models/error.ts";
import { normal } from "../../models/domain.ts";
import type { ParameterSpec } from "../../models/ops.ts";
import { seeded } from "../../models/random.ts";
import { lengthOf } from "../tensor.ts";

export function initialNumbers(seed: number, name: string, { shape, initial }: ParameterSpec): Float32Array {
  const numbers = new Float32Array(lengthOf(shape));
  switch (initial.kind) {
    case "zeros":
      break;
    case "ones":
      numbers.fill(1);
      break;
    case "normal": {
      const random = seeded(seed, "parameter", name);
      for (let i = 0; i < numbers.length; i++) numbers[i] = initial.std * normal(random);
      break;
    }
    case "values": {
      const { values } = initial;
      if (values.length === 0) {
        throw new InputError(`Cannot initialise ${name}: values must be at least one number, got none`);
      }
      for (let i = 0; i < numbers.length; i++) numbers[i] = values[i % values.length]!;
    }
  }
  return numbers;
}
