/** Error scopes around one piece of synchronous work. */

export interface Scoped<T> {
  readonly result: T;
  /** The validation or out-of-memory error the work caused, once the device has judged it. */
  readonly error: Promise<Error | undefined>;
}

/** Runs `body` inside error scopes, which are popped before anything else can use the device. */
export function scoped<T>(device: GPUDevice, what: string, body: () => T): Scoped<T> {
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("validation");
  let result: T;
  try {
    result = body();
  } catch (error) {
    pop(device).catch(() => {});
    throw error;
  }
  const error = pop(device).then(
    ([invalid, exhausted]) => {
      if (invalid) return new Error(`Cannot ${what}: ${withoutStack(invalid.message)}`);
      return exhausted ? new Error(`Cannot ${what}: out of memory: ${withoutStack(exhausted.message)}`) : undefined;
    },
    (cause: unknown) => new Error(`Cannot ${what}: ${String(cause)}`, { cause }),
  );
  return { result, error };
}

function pop(device: GPUDevice): Promise<[GPUError | null, GPUError | null]> {
  return Promise.all([device.popErrorScope(), device.popErrorScope()]);
}

/** Dawn appends where in its own source it found the error. */
function withoutStack(message: string): string {
  return message.replace(/^ {4}at .*$/gm, "").trim();
}
