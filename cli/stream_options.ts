/**
 * The options of `dualscan stream`.
 *
 * @module
 */
import { type GpuPolicy, gpuPolicy } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";
import { models } from "../models/mod.ts";
import { CONTROL, modelNames } from "../tasks/train/networks.ts";
import type { ModelSizes } from "../tasks/train/setup.ts";
import { oneOf, parse, wholeNumber } from "./arguments.ts";

/** Networks that can be streamed. */
const registry: readonly string[] = models.map(({ name }) => name);
const networks: readonly string[] = modelNames.filter((name) => name !== CONTROL && !registry.includes(name));
const names: readonly string[] = [...networks, ...registry];

export const streamHelp: string =
  `dualscan stream --model NAME --tokens N   latency of every token and bytes on the device, as the context grows

  --model NAME         a network (${networks.join(", ")}), with its initial parameters,
                       or a model of the registry (${
    models.map(({ name }) => name).slice(0, 3).join(", ")
  }, …) by itself
  --tokens N           tokens of the stream
  --d N --heads N --layers N --agg-layers N --chunk N --vocabulary N
                       of a network (default: 256, 4, 4, 1, 64, 256)
  --size N --heads N   of a model: K, V and N, and D = heads · size (default: 64, 16)
  --out FILE           append the lines to FILE
  --gpu auto|require   default: DUALSCAN_GPU, or auto
  --json               one JSON object per line on stdout, nothing else
  --help

Lines are given after 1, 2, 4, … tokens and the last: the median, quartiles and maximum of what each token since the line
before took, from its arrival on the host to its output there, the copies included.`;

export interface StreamArguments {
  readonly help: boolean;
  readonly model: string;
  /** Whether the model is a network of tokens. */
  readonly network: boolean;
  readonly tokens: number;
  readonly vocabulary: number;
  readonly sizes: ModelSizes;
  readonly size: number;
  readonly heads: number;
  readonly out: string | undefined;
  readonly gpu: GpuPolicy;
  readonly json: boolean;
}

const networkOptions = ["d", "layers", "agg-layers", "chunk", "vocabulary"] as const;

/** Parses the arguments that follow `stream`. Throws an {@link InputError}. */
export function streamArguments(args: readonly string[]): StreamArguments {
  const { values } = parse("stream", args, {
    model: { type: "string" },
    tokens: { type: "string" },
    d: { type: "string" },
    heads: { type: "string" },
    layers: { type: "string" },
    "agg-layers": { type: "string" },
    chunk: { type: "string" },
    vocabulary: { type: "string" },
    size: { type: "string" },
    out: { type: "string" },
    gpu: { type: "string" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  const text = (name: string): string | undefined => values[name] as string | undefined;
  const number = (name: string, otherwise: number, most = 1 << 20): number =>
    text(name) === undefined ? otherwise : wholeNumber(`--${name}`, text(name)!, 1, most);
  const help = values["help"] === true;
  for (const needed of help ? [] : ["model", "tokens"]) {
    if (text(needed) === undefined) throw new InputError(`Cannot stream: it needs --${needed}, got none`);
  }
  const model = help ? names[0]! : oneOf("--model", text("model")!, names);
  const network = networks.includes(model);
  const foreign = network
    ? ["size"].find((name) => text(name) !== undefined)
    : networkOptions.find((name) => text(name) !== undefined);
  if (foreign !== undefined) {
    throw new InputError(
      `Cannot use --${foreign}: it belongs to ${network ? "models of the registry" : "networks"}, got ${model}`,
    );
  }
  const heads = number("heads", network ? 4 : 16);
  const d = number("d", 256);
  if (network && d % heads !== 0) {
    throw new InputError(`Cannot stream ${model}: --heads must divide --d ${d}, got ${heads}`);
  }
  return {
    help,
    model,
    network,
    tokens: number("tokens", 1, 1 << 26),
    vocabulary: number("vocabulary", 256),
    sizes: {
      d,
      heads,
      layers: number("layers", 4),
      aggLayers: number("agg-layers", 1),
      chunk: number("chunk", 64),
      dropout: 0,
    },
    size: number("size", 64),
    heads,
    out: text("out"),
    gpu: text("gpu") === undefined ? gpuPolicy() : oneOf("--gpu", text("gpu")!, ["auto", "off", "require"]),
    json: values["json"] === true,
  };
}
