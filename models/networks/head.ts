/**
 * The head over a network's vectors: a matrix of its own, or the table of its tokens transposed. A tied head learns a token's
 * row wherever the token is read, not only where it is the answer.
 *
 * @module
 */
import type { Parameters, ParameterSpecs, TensorOps, TokenNetwork } from "./ops.ts";
import { parameter, weights } from "./parameters.ts";

/** What says where a network's head comes from. */
type Headed = Pick<TokenNetwork, "head">;

/** The head `[d, vocabulary]` of a network. Throws an `InputError` where its parameter is missing. */
export function headOf<T, I>({ head }: Headed, ops: TensorOps<T, I>, parameters: Parameters<T>): T {
  return head === undefined ? parameter(parameters, "head") : head(ops, parameters);
}

/** What a head adds to the parameters: nothing if it is tied. */
export function headParameters({ head }: Headed, d: number, vocabulary: number): ParameterSpecs {
  return head === undefined ? { head: weights(d, vocabulary) } : {};
}

/** A head that is the table `table` `[vocabulary, d]`, or one of its own. */
export function headFrom(tied: boolean, table: string): Headed {
  return tied ? { head: (ops, p) => ops.transpose(parameter(p, table)) } : {};
}
