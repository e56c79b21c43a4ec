/** Planted faults: each gives a schedule that a law must turn red. */
import { Counter, type Operator, type Schedule } from "../scan/mod.ts";

/** An element that knows how many leaves it spans: enough for a saboteur to tell a carry from a prefix. */
interface Spanned<M> {
  readonly value: M;
  readonly span: number;
}

type Sabotage = <M>(op: Operator<M>, earlier: Spanned<M>, later: Spanned<M>) => M;

/** The same schedule run by a saboteur, so that faults need neither a copy of the code nor a door in it. */
function sabotaged(name: string, schedule: Schedule, sabotage: Sabotage): Schedule {
  return {
    name: `${schedule.name} with ${name}`,
    parenthesisation: schedule.parenthesisation,
    inclusive<M>(op: Operator<M>, xs: readonly M[]): M[] {
      const faulty: Operator<Spanned<M>> = {
        combine: (earlier, later) => ({
          value: sabotage(op, earlier, later),
          span: earlier.span + later.span,
        }),
      };
      return schedule.inclusive(faulty, xs.map((value) => ({ value, span: 1 }))).map(({ value }) => value);
    },
  };
}

/** In the tree and the counter a prefix spans more than the subtree joined to it; a carry joins equal spans. */
export function swappedDownSweep(schedule: Schedule): Schedule {
  return sabotaged(
    "swapped operands in the down-sweep",
    schedule,
    (op, earlier, later) =>
      earlier.span > later.span ? op.combine(later.value, earlier.value) : op.combine(earlier.value, later.value),
  );
}

/** The carry out of level 1 forgets the root it meets. */
export function droppedCarry(schedule: Schedule): Schedule {
  return sabotaged(
    "a dropped carry",
    schedule,
    (op, earlier, later) =>
      earlier.span === 2 && later.span === 2 ? later.value : op.combine(earlier.value, later.value),
  );
}

/** Right-nested refold of the counter's roots: the order is right, the tree is not. */
export function wrongEndRefold(): Schedule {
  return {
    name: "counter refolding from the wrong end",
    parenthesisation: "counter",
    inclusive<M>(op: Operator<M>, xs: readonly M[]): M[] {
      const counter = new Counter(op);
      return xs.map((x) => {
        counter.push(x);
        return counter.roots().map(({ value }) => value).reduceRight((below, root) => op.combine(root, below));
      });
    },
  };
}
