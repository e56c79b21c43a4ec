/**
 * `dualscan stream`.
 *
 * @module
 */
import { type BenchOutput, terminal } from "../bench/output.ts";
import { resultFile } from "../bench/save.ts";
import { latencies, type StreamLine, type TimedStream } from "../bench/stream/latency.ts";
import { modelStream } from "../bench/stream/model_stream.ts";
import { networkStream } from "../bench/stream/network_stream.ts";
import { type Gpu, openDevice } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";
import { models } from "../models/mod.ts";
import { networkOf } from "../tasks/train/networks.ts";
import { type StreamArguments, streamArguments, streamHelp } from "./stream_options.ts";

async function opened(gpu: Gpu, args: StreamArguments): Promise<TimedStream> {
  const { model: name, size, heads, sizes, vocabulary, tokens } = args;
  if (args.network) {
    const network = networkOf({ name, sizes }, { vocabulary, longest: tokens })!;
    const { d, layers, aggLayers, chunk } = sizes;
    const tree = "agg" in network
      ? ` agg=${aggLayers} chunk=${chunk}`
      : name === "sliding-window"
      ? ` chunk=${chunk}`
      : "";
    return networkStream(gpu, network, `d=${d} heads=${heads} layers=${layers}${tree} vocabulary=${vocabulary}`);
  }
  const model = models.find((candidate) => candidate.name === name)!;
  return await modelStream(gpu, model, { H: heads, sizes: { K: size, V: size, N: size, D: heads * size } });
}

function bytes(count: number): string {
  return count >= 2 ** 20 ? `${(count / 2 ** 20).toFixed(1)} MiB` : `${(count / 2 ** 10).toFixed(1)} KiB`;
}

function tableLine({ tokens, ms, spread, slowest, liveBytes, held }: StreamLine): string {
  const range = `${spread[0].toFixed(3)} … ${spread[1].toFixed(3)}`;
  return `${String(tokens).padStart(9)} ${ms.toFixed(3).padStart(9)} ${range.padStart(19)} ${
    slowest.toFixed(3).padStart(9)
  } ${bytes(liveBytes).padStart(12)}${held === undefined ? "" : ` ${held} summaries`}`;
}

/** Runs the command; resolves to its exit status. Throws an {@link InputError} on unusable arguments. */
export async function stream(argv: readonly string[], output: BenchOutput = terminal): Promise<number> {
  const args = streamArguments(argv);
  if (args.help) {
    output.out(streamHelp);
    return 0;
  }
  if (args.gpu === "off") throw new InputError(`Cannot stream ${args.model}: it needs a GPU, got --gpu off`);
  const keep = args.out === undefined ? undefined : resultFile(args.out);
  const gpu = await openDevice();
  try {
    const timed = await opened(gpu, args);
    const adapter = `${gpu.adapter.description} (${gpu.adapter.provider})`;
    if (!args.json) {
      output.out(`${timed.model}, ${timed.shape}, on ${adapter}`);
      output.out("   tokens ms/token           quartiles   slowest  live on GPU");
    }
    for await (const line of latencies(timed, args.tokens, adapter)) {
      keep?.(line);
      output.out(args.json ? JSON.stringify(line) : tableLine(line));
    }
    timed.close();
    return 0;
  } finally {
    await gpu.close();
  }
}
