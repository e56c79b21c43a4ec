/** Commands of a program's replay. */

/** A dispatch made ready. */
export interface Bound {
  /** Index of its step. */
  readonly step: number;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number, number];
}

/** Bytes copied from the start of one buffer to another's. */
export interface Copy {
  readonly from: GPUBuffer;
  readonly to: GPUBuffer;
  readonly bytes: number;
  /** Where they go; default 0. */
  readonly offset?: number;
}

export function encodeCopies(encoder: GPUCommandEncoder, copies: readonly Copy[]): void {
  for (const { from, to, bytes, offset = 0 } of copies) encoder.copyBufferToBuffer(from, 0, to, offset, bytes);
}

export function encodePass(
  encoder: GPUCommandEncoder,
  label: string,
  bound: readonly Bound[],
  timestampWrites?: GPUComputePassTimestampWrites,
): void {
  const pass = encoder.beginComputePass({ label, ...(timestampWrites && { timestampWrites }) });
  let last: GPUComputePipeline | undefined;
  for (const { pipeline, group, grid: [x, y, z] } of bound) {
    if (pipeline !== last) pass.setPipeline(pipeline);
    last = pipeline;
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y, z);
  }
  pass.end();
}
