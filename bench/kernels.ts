/**
 * The only list of what is timed.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import { deltaNet } from "../models/delta_net.ts";
import { gla } from "../models/gla.ts";
import { hgrn } from "../models/hgrn.ts";
import { s6 } from "../models/s6.ts";
import { blelloch, chunked, counter, type Schedule, sequential } from "../scan/mod.ts";
import { modelKernel, pairKernel } from "./cpu_scan.ts";
import { gradientKernel } from "./gpu_gradient.ts";
import { pairScanKernel, scanKernel } from "./gpu_scan.ts";
import { streamKernel } from "./gpu_stream.ts";
import type { Kernel } from "./kernel.ts";

const schedules: readonly (readonly [string, Schedule])[] = [
  ["cpu sequential", sequential],
  ["cpu blelloch", blelloch],
  ["cpu chunked-64", chunked(64)],
  ["cpu counter", counter],
];

/** One of every kind of action that has a kernel of its own, and of both layouts (with and without heads). */
const onGpu: readonly AnyAffineModel[] = [gla, s6, deltaNet, hgrn];

export const kernels: readonly Kernel[] = [
  ...schedules.map(([name, schedule]) => pairKernel(name, schedule)),
  ...schedules.map(([name, schedule]) => modelKernel(name, schedule, gla)),
  pairScanKernel(),
  ...onGpu.map((model) => scanKernel(model)),
  ...onGpu.map((model) => gradientKernel(model)),
  ...onGpu.map((model) => streamKernel(model)),
];
