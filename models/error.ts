/**
 * The one error a caller causes: unusable arguments or input. Its message is one line that says what was asked,
 * the constraint and the current value; the command line prints it and exits with status 2.
 */
export class InputError extends Error {
  override readonly name = "InputError";
}
