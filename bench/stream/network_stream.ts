/**
 * A network of tokens, one token at a time: its caches or its counter's summaries stay on the GPU.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { GpuEvaluator } from "../../kernels/nn/evaluator.ts";
import { initialParameters } from "../../models/networks/parameters.ts";
import { psmDecoder } from "../../models/networks/psm_decoder.ts";
import type { PsmNetwork } from "../../models/networks/psm_network.ts";
import { seeded } from "../../models/random.ts";
import type { ResumableNetwork } from "../../models/networks/resumable.ts";
import { resumableDecoder } from "../../models/networks/resumable_decoder.ts";
import type { TimedStream } from "./latency.ts";

const SEED = 1;

/** Opens a stream of one sequence with a network's initial parameters and seeded tokens. */
export function networkStream(gpu: Gpu, network: PsmNetwork | ResumableNetwork, shape: string): TimedStream {
  const evaluator = new GpuEvaluator(gpu);
  const numbers = initialParameters(network.parameters, SEED);
  const parameters = Object.fromEntries(
    Object.entries(network.parameters).map(([name, { shape }]) => [name, evaluator.values(numbers[name]!, shape)]),
  );
  const psm = "agg" in network ? psmDecoder(network, evaluator, parameters) : undefined;
  const stream = psm ?? resumableDecoder(network as ResumableNetwork, evaluator, parameters);
  const random = seeded(SEED, "tokens");
  const timed = {
    model: network.name,
    shape,
    async push() {
      await stream.push([Math.floor(random() * network.vocabulary)]);
    },
    get bytes() {
      return gpu.bytes;
    },
    close() {
      stream.close();
      evaluator.close();
    },
  };
  if (psm === undefined) return timed;
  return Object.defineProperty(timed, "held", { get: () => psm.held, enumerable: true });
}
