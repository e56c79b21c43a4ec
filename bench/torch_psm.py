#!/usr/bin/env python3
"""The Transformer-PSM of models/networks/transformer_psm.ts in PyTorch: how fast it trains, and its gradients.

    python3 bench/torch_psm.py > torch.jsonl                 # tokens a second and bytes, one JSON object per line
    dualscan train s5 --preset s5 --gradients file.safetensors
    python3 bench/torch_psm.py --gradients file.safetensors  # the same gradients in f64, compared

The same network: tokens and places of a chunk embedded, the static tree batched level by level, attention by SDPA, pre-norm
blocks, a head of its own or tied to the tokens, AdamW, the gradient clipped at 1. Parameters have the names of ours, matrices their shape [in, out].
A timed step is forward, backward and update on one batch, the loss read back, as `ms` in the log of `dualscan train` is;
its median over the steps that follow a warm-up.

Exit status: 0, 1 if gradients differ by more than --tolerance, 2 if nothing can be run here or the arguments are unusable.
"""

import argparse
import datetime
import importlib
import json
import math
import platform
import struct
import sys
import time

# The shapes of the experiments: those of tasks/train/presets.ts.
CASES = {
    "s5": {"vocabulary": 120, "d": 768, "heads": 12, "layers": 1, "aggLayers": 1, "chunk": 1, "batch": 32, "lengths": [4, 16, 18, 128]},
    "s5-small": {"vocabulary": 120, "d": 256, "heads": 4, "layers": 1, "aggLayers": 1, "chunk": 1, "batch": 256, "lengths": [4, 16, 18]},
    "mqar-c64-l512": {"vocabulary": 8192, "d": 128, "heads": 1, "layers": 2, "aggLayers": 2, "chunk": 64, "tied": True, "batch": 64, "lengths": [512]},
    "text-c32": {"vocabulary": 50257, "d": 768, "heads": 12, "layers": 12, "aggLayers": 1, "chunk": 32, "batch": 16, "lengths": [512]},
    "text-c128": {"vocabulary": 50257, "d": 768, "heads": 12, "layers": 12, "aggLayers": 1, "chunk": 128, "batch": 16, "lengths": [512]},
    "text-small-c64": {"vocabulary": 256, "d": 256, "heads": 4, "layers": 4, "aggLayers": 1, "chunk": 64, "batch": 16, "lengths": [512]},
}


# ------------------------------------------------------------------------------------------------------- the schedule


def exclusive_levels(n):
    """The static tree's calls of Agg for the prefixes of n leaves, as scan/blelloch.ts makes them.

    Gives levels, each a list of (earlier, later) node numbers, and the node of each prefix, None for the first. Nodes
    0 … n − 1 are the leaves, others are numbered in the order they come. Identities and padding are skipped; so is the
    last leaf with all that only it would need.
    """
    size = 1
    while size < n:
        size *= 2
    levels, count = [], n

    def combine(pairs):
        nonlocal count
        out = list(range(count, count + len(pairs)))
        if pairs:
            levels.append(pairs)
        count += len(pairs)
        return out

    # Up-sweep: what lies wholly before the last leaf and is a left subtree, or part of one.
    row = {i: i for i in range(n - 1)}
    rows = [row]
    width = 1
    while 2 * width < size:
        spans = [i for i in range(0, n, 2 * width) if i + 2 * width <= n - 1]
        made = combine([(row[i], row[i + width]) for i in spans])
        row = dict(zip(spans, made))
        rows.append(row)
        width *= 2
    # Down-sweep: left child = parent; right child = Agg(parent, left subtree).
    prefix = {0: None}
    width = size // 2
    for row in reversed(rows if size > 1 else []):
        rights = [i for i in prefix if i + width < n]
        calls = [(prefix[i], row[i]) for i in rights if prefix[i] is not None]
        made = iter(combine(calls))
        for i in rights:
            prefix[i + width] = row[i] if prefix[i] is None else next(made)
        width //= 2
    return levels, [prefix[i] for i in range(n)]


# -------------------------------------------------------------------------------------------------------- the network


def parameter_shapes(case):
    """Names and shapes, as `TokenNetwork.parameters` has them."""
    d, V = case["d"], case["vocabulary"]
    shapes = {"enc.tokens": (V, d), "enc.places": (case["chunk"], d)}

    def stack(prefix, layers):
        for i in range(layers):
            at = f"{prefix}.{i}"
            shapes.update({f"{at}.attention.norm.gain": (d,), f"{at}.attention.norm.bias": (d,)})
            for name in ("query", "key", "value", "out"):
                shapes.update({f"{at}.attention.{name}": (d, d), f"{at}.attention.{name}Bias": (d,)})
            shapes.update({f"{at}.mlp.norm.gain": (d,), f"{at}.mlp.norm.bias": (d,)})
            shapes.update({f"{at}.mlp.up": (d, 4 * d), f"{at}.mlp.upBias": (4 * d,)})
            shapes.update({f"{at}.mlp.down": (4 * d, d), f"{at}.mlp.downBias": (d,)})
        shapes.update({f"{prefix}.norm.gain": (d,), f"{prefix}.norm.bias": (d,)})

    stack("agg", case["aggLayers"])
    stack("inf", case["layers"])
    if not case.get("tied"):
        shapes["head"] = (d, V)
    return shapes


class Network:
    """Functions of parameters by name; `dropout` is a rate."""

    def __init__(self, torch, case, dropout=0.0):
        self.torch = torch
        self.case = case
        self.rate = dropout
        self.trees = {}

    def drop(self, x):
        return self.torch.nn.functional.dropout(x, self.rate) if self.rate > 0 else x

    def norm(self, p, name, x):
        return self.torch.nn.functional.layer_norm(x, x.shape[-1:], p[f"{name}.gain"], p[f"{name}.bias"], 1e-5)

    def stack(self, p, prefix, layers, x, mask, last):
        """The last `last` vectors of blocks on x [N, n, d]; the last block's queries are those alone."""
        F = self.torch.nn.functional
        heads = self.case["heads"]

        def parts(y):
            return y.unflatten(-1, (heads, -1)).transpose(1, 2)

        for i in range(layers):
            a, m = f"{prefix}.{i}.attention", f"{prefix}.{i}.mlp"
            wanted = last if i == layers - 1 else x.shape[1]
            normed = self.norm(p, f"{a}.norm", x)
            linear = lambda name, y: y @ p[f"{a}.{name}"] + p[f"{a}.{name}Bias"]
            q, k, v = parts(linear("query", normed[:, -wanted:])), parts(linear("key", normed)), parts(linear("value", normed))
            if mask == "bidirectional":
                seen = F.scaled_dot_product_attention(q, k, v)
            elif q.shape[2] == k.shape[2]:
                seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                n, at = k.shape[2], self.torch.arange(k.shape[2], device=x.device)
                allowed = at[None, :] <= at[n - q.shape[2] :, None]
                seen = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
            x = x[:, -wanted:] + self.drop(linear("out", seen.transpose(1, 2).flatten(2)))
            inner = F.gelu(self.norm(p, f"{m}.norm", x) @ p[f"{m}.up"] + p[f"{m}.upBias"], approximate="tanh")
            x = x + self.drop(inner @ p[f"{m}.down"] + p[f"{m}.downBias"])
        return self.norm(p, f"{prefix}.norm", x)

    def agg(self, p, earlier, later):
        both = self.torch.cat([earlier, later], 1)
        return self.stack(p, "agg", self.case["aggLayers"], both, self.case.get("agg", "bidirectional"), later.shape[1])

    def inf(self, p, prefix, x):
        both = x if prefix is None else self.torch.cat([prefix, x], 1)
        return self.stack(p, "inf", self.case["layers"], both, "causal", x.shape[1])

    def hidden(self, p, tokens):
        """Tokens [B, n], n a multiple of the chunk or shorter than one → [B, n, d]."""
        torch, c = self.torch, self.case["chunk"]
        B, n = tokens.shape
        x = p["enc.tokens"][tokens]
        if n < c:
            return self.inf(p, None, self.drop(x + p["enc.places"][:n]))
        if n % c != 0:
            raise ValueError(f"tokens must fill whole chunks of {c}, got {n}")
        r = n // c
        # Chunk after chunk, the batch inside: a node of the tree is then one row of a level.
        x = self.drop(x.unflatten(1, (r, c)).transpose(0, 1) + p["enc.places"])
        if r == 1:
            return self.inf(p, None, x[0])
        levels, prefixes = self.trees.setdefault(r, exclusive_levels(r))
        arrays, starts = [x], [0]
        count = r

        def gather(nodes):
            """Nodes [m] → [m, B, c, d], by runs of neighbours."""
            parts, i = [], 0
            while i < len(nodes):
                array = max(a for a, start in enumerate(starts) if start <= nodes[i])
                j = i + 1
                while j < len(nodes) and nodes[j] == nodes[j - 1] + 1 and (array + 1 == len(starts) or nodes[j] < starts[array + 1]):
                    j += 1
                at = nodes[i] - starts[array]
                parts.append(arrays[array][at : at + j - i])
                i = j
            if len(parts) <= 16:
                return torch.cat(parts) if len(parts) > 1 else parts[0]
            # Many short runs: one gather over all that there is.
            return torch.cat(arrays).index_select(0, torch.tensor(nodes, device=tokens.device))

        for pairs in levels:
            earlier, later = (gather([pair[side] for pair in pairs]).flatten(0, 1) for side in (0, 1))
            arrays.append(self.agg(p, earlier, later).unflatten(0, (len(pairs), B)))
            starts.append(count)
            count += len(pairs)
        first = self.inf(p, None, x[0])
        later = self.inf(p, gather(prefixes[1:]).flatten(0, 1), x[1:].flatten(0, 1))
        return torch.cat([first[None], later.unflatten(0, (r - 1, B))]).transpose(0, 1).flatten(1, 2)

    def loss(self, p, tokens, targets, weights):
        logits = self.hidden(p, tokens) @ (p["enc.tokens"].T if self.case.get("tied") else p["head"])
        each = self.torch.nn.functional.cross_entropy(logits.flatten(0, 1).float() if logits.dtype != self.torch.float64 else logits.flatten(0, 1), targets.flatten(), reduction="none")
        return (each * weights.flatten()).sum() / weights.sum()


# -------------------------------------------------------------------------------------------------------- safetensors


DTYPES = {"F32": ("f", 4), "U32": ("I", 4), "I64": ("q", 8)}


def read_safetensors(path):
    """Metadata, and arrays by name as (shape, list of numbers)."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        kind, width = DTYPES[entry["dtype"]]
        start, end = entry["data_offsets"]
        arrays[name] = (entry["shape"], struct.unpack_from(f"<{(end - start) // width}{kind}", data, 8 + length + start))
    return metadata, arrays


def compare_gradients(torch, path, tolerance):
    """Our gradients of a file beside f64's: one line a parameter; whether all are within the tolerance."""
    metadata, arrays = read_safetensors(path)
    case = json.loads(metadata["sizes"])
    tensor = lambda name, dtype: torch.tensor(arrays[name][1], dtype=dtype).reshape(arrays[name][0])
    start = "parameter."
    p = {name[len(start) :]: tensor(name, torch.float64).requires_grad_() for name in arrays if name.startswith(start)}
    wanted = parameter_shapes(case)
    if {name: tuple(x.shape) for name, x in p.items()} != wanted:
        raise ValueError(f"the file's parameters are not those of {metadata['network']}")
    network = Network(torch, case)
    loss = network.loss(p, tensor("tokens", torch.int64), tensor("targets", torch.int64), tensor("weights", torch.float64))
    truth = dict(zip(p, torch.autograd.grad(loss, list(p.values()))))
    right = True
    size = lambda gradient: float(gradient.square().mean().sqrt())
    # Some are 0: a bias on all keys changes no softmax.
    least = 1e-6 * max(size(gradient) for gradient in truth.values())
    for name, gradient in truth.items():
        ours = tensor(f"gradient.{name}", torch.float64)
        scale = max(size(gradient), least)
        error = float((ours - gradient).abs().max()) / scale
        right = right and error <= tolerance
        print(json.dumps({"gradient": name, "maxError": error, "scale": scale}), flush=True)
    ours = float(metadata["loss"])
    print(json.dumps({"loss": loss.item(), "ours": ours, "error": abs(loss.item() - ours)}), flush=True)
    return right


# ------------------------------------------------------------------------------------------------------------- timing


def initial(torch, case, device):
    """GPT-2's: deviations of 0.02, gains of 1, biases of 0."""
    generator = torch.Generator(device=device).manual_seed(1)
    p = {}
    for name, shape in parameter_shapes(case).items():
        if len(shape) == 2:
            p[name] = 0.02 * torch.randn(shape, generator=generator, device=device)
        else:
            p[name] = (torch.ones if name.endswith("gain") else torch.zeros)(shape, device=device)
        p[name].requires_grad_()
    return p


def timed(torch, device, name, case, n, precision, compiled, effort):
    """The figures of one shape."""
    torch.manual_seed(1)
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    network = Network(torch, case)
    p = initial(torch, case, device)
    decayed = [x for key, x in p.items() if x.dim() == 2 and key != "enc.places"]
    others = [x for key, x in p.items() if x.dim() != 2 or key == "enc.places"]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-4, fused=device == "cuda")
    B, V = case["batch"], case["vocabulary"]
    tokens, targets = (torch.randint(V, (B, n), device=device) for _ in range(2))
    weights = torch.ones(B, n, device=device)
    loss_of = torch.compile(network.loss) if compiled else network.loss

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(p, tokens, targets, weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(p.values()), 1.0)
        optimiser.step()
        return float(loss)

    for _ in range(3):
        step()
    samples = []
    began = time.perf_counter()
    while len(samples) < 5 or (time.perf_counter() - began < effort and len(samples) < 200):
        start = time.perf_counter()
        step()
        samples.append(1e3 * (time.perf_counter() - start))
    ordered = sorted(samples)
    ms = ordered[len(ordered) // 2]
    return {
        "ms": ms,
        "spread": [ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]],
        "samples": len(samples),
        "tokensPerSecond": 1e3 * B * n / ms,
        "peakBytes": torch.cuda.max_memory_allocated() if device == "cuda" else None,
        "size": sum(x.numel() for x in p.values()),
    }


def one_line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]


def arguments(given):
    parser = argparse.ArgumentParser(prog="torch_psm.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PRESET", action="append", choices=sorted(CASES), help="only this preset's shape")
    parser.add_argument("--lengths", metavar="N,…", help="other lengths than the preset's")
    parser.add_argument("--precision", choices=("f32", "tf32", "bf16"), action="append", help="default: tf32 and bf16")
    parser.add_argument("--compiled", action="store_true", help="by torch.compile too")
    parser.add_argument("--effort", metavar="SECONDS", type=float, default=5, help="of timing a shape, about")
    parser.add_argument("--budget", metavar="SECONDS", type=float, default=math.inf, help="begin nothing after so long")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try this script out")
    parser.add_argument("--gradients", metavar="FILE", help="compare the gradients of such a file, in f64 on the CPU")
    parser.add_argument("--tolerance", type=float, default=math.inf, help="largest |difference| over the rms of a gradient")
    return parser.parse_args(given)


def main(given):
    began = time.perf_counter()
    asked = arguments(given)
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        print(f"not run: torch cannot be imported ({one_line(error)})", file=sys.stderr)
        return 2
    if asked.gradients is not None:
        try:
            return 0 if compare_gradients(torch, asked.gradients, asked.tolerance) else 1
        except (OSError, ValueError, KeyError, struct.error) as error:
            print(f"Cannot compare {asked.gradients}: {one_line(error)}", file=sys.stderr)
            return 2
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("not run: torch sees no CUDA device", file=sys.stderr)
        return 2
    adapter = torch.cuda.get_device_name() if asked.device == "cuda" else platform.processor() or "cpu"
    runs = [
        (name, n, precision, compiled)
        for name in asked.only or CASES
        for n in ([int(text) for text in asked.lengths.split(",")] if asked.lengths else CASES[name]["lengths"])
        for precision in asked.precision or ("tf32", "bf16")
        for compiled in ((False, True) if asked.compiled else (False,))
    ]
    for number, (name, n, precision, compiled) in enumerate(runs):
        if time.perf_counter() - began >= asked.budget:
            print(f"not run, as --budget {asked.budget:g} is spent: {len(runs) - number} of {len(runs)}", file=sys.stderr)
            break
        torch.backends.cuda.matmul.allow_tf32 = precision != "f32"
        case = CASES[name]
        line = {
            "kernel": f"train {name}",
            "shape": f"B={case['batch']} T={n} d={case['d']} heads={case['heads']} agg={case['aggLayers']} inf={case['layers']} chunk={case['chunk']}",
            "dtype": precision,
            "adapter": adapter,
            "peer": f"torch {'compiled' if compiled else 'eager'}",
            "preset": name,
            "batch": case["batch"],
            "length": n,
            "runtime": f"python {platform.python_version()}",
            "torch": torch.__version__,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        try:
            line.update(timed(torch, asked.device, name, case, n, precision, compiled, asked.effort))
        except Exception as error:
            line["error"] = one_line(error)
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
