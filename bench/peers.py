#!/usr/bin/env python3
"""Times other libraries on the work of `dualscan bench fused`: one JSON object per line on stdout.

    python3 bench/peers.py > peers.jsonl
    dualscan bench compare ours.jsonl peers.jsonl

Needs torch and a CUDA device; fla, mamba_ssm's selective_scan_cuda, accelerated_scan and jax are timed where they can be imported. Whatever
fails is one line with "error", and the next peer is timed. Times are medians of at least 20 runs after a warm-up, of
the faster of two ways: CUDA events around each call, and, where the work can be captured, around the replay of a CUDA
graph, which has no launches from Python in it. Nothing is flushed between runs: tensors are far larger than the caches.

Most of the time goes into compiling. With --workers N the cases are shared out to processes, one for each kernel, type and
peer, N of them at once. Each makes its cases one after the other, runs each once, which compiles it and lets Triton choose a
tuning, compares it with f64, and frees its tensors. When all N have done so, they are timed one after another with nothing
else running; then come the next N. Triton's trials of tunings take turns, though other processes may compile beside them.
A process that dies, or says nothing for --patience seconds, is one line with "error"; its other cases go to a new one.

With --warm nothing is timed and nothing printed but a line per case on stderr: kernels are compiled, all tunings of them, into
Triton's cache on the disk. No tuning is chosen, as the GPU may be busy with other things.

Errors are those of some sequences against a plain loop over the recurrence in f64, on the very inputs the peer got (so
rounding them to bf16 is not counted): largest |x - truth|, and its root mean square, over the root mean square of the
truth, of the worst output. Ranges of inputs come from bench/fused/inputs.json, as our lines' do.

Exit status: 0, 2 if nothing can be timed here or the arguments are unusable.
"""

import argparse
import collections
import contextlib
import datetime
import gc
import importlib
import inspect
import json
import math
import os
import platform
import re
import sys
import tempfile
import time
from pathlib import Path

# Isolated, Python does not look beside the script.
sys.path.insert(0, str(Path(__file__).resolve().parent))
import peer_workers  # noqa: E402

RANGES = json.loads((Path(__file__).parent / "fused" / "inputs.json").read_text())["inputs"]
SEED = 1
HEADS = [{"B": 8, "T": 4096, "H": 16, "K": 64, "V": 64}, {"B": 4, "T": 4096, "H": 8, "K": 128, "V": 128}]


def shape_text(shape):
    return " ".join(f"{axis}={extent}" for axis, extent in shape.items())


class Bench:
    """What a case needs of torch and of the device."""

    def __init__(self, torch, device, graphs):
        self.torch = torch
        self.device = device
        self.graphs = graphs
        self.generator = torch.Generator(device=device)

    def dtype(self, name):
        return {"f32": self.torch.float32, "f16": self.torch.float16, "bf16": self.torch.bfloat16}[name]

    def random(self, work, name, shape, dtype="f32"):
        """A tensor in the range that the table gives."""
        low, high = (-1, 1) if RANGES[work][name] == "unit" else RANGES[work][name]
        x = self.torch.rand(shape, device=self.device, generator=self.generator) * (high - low) + low
        if RANGES[work][name] == "unit":
            x = x / x.norm(dim=-1, keepdim=True)
        return x.to(self.dtype(dtype))

    def cotangent(self, like):
        return (self.torch.rand(like.shape, device=self.device, generator=self.generator) * 2 - 1).to(like.dtype)

    def synchronize(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def milliseconds(self, run, effort):
        """Samples of one call, by events; by the wall clock on a CPU."""
        torch = self.torch
        if self.device != "cuda":
            run()
            samples = []
            for _ in range(3):
                start = time.perf_counter()
                run()
                samples.append(1e3 * (time.perf_counter() - start))
            return samples
        for _ in range(3):
            run()
        self.synchronize()
        first = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first[0].record()
        run()
        first[1].record()
        self.synchronize()
        once = max(first[0].elapsed_time(first[1]), 1e-3)
        for _ in range(max(3, min(200, int(effort / 4 / once)))):
            run()
        count = max(20, min(1000, int(effort / once)))
        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)]
        for begin, end in events:
            begin.record()
            run()
            end.record()
        self.synchronize()
        return [begin.elapsed_time(end) for begin, end in events]

    def captured(self, run):
        """The work as a CUDA graph, or None where it cannot be one."""
        torch = self.torch
        if self.device != "cuda" or not self.graphs:
            return None
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    run()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                run()
            graph.replay()
            self.synchronize()
            return graph.replay
        except Exception:
            return None


def quantile(samples, q):
    ordered = sorted(samples)
    at = q * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def errors(pairs):
    """The worst of several outputs: pairs of what was computed and what is true, both f64 on the CPU."""
    worst = (0.0, 0.0)
    for got, truth in pairs:
        got, truth = got.double().cpu(), truth.double().cpu()
        scale = float(truth.square().mean().sqrt()) or 1.0
        off = (got - truth).abs()
        if not bool(off.isfinite().all()):
            return math.inf, math.inf
        error = float(off.max()) / scale, float(off.square().mean().sqrt()) / scale
        worst = max(worst, error)
    return worst


# ---------------------------------------------------------------------------------------------------------- the truth


def true_scan(torch, a, b):
    """h_t = a_t h_{t-1} + b_t along the last axis, [n, T] in f64."""
    h = torch.zeros_like(b)
    state = torch.zeros_like(b[:, 0])
    for t in range(b.shape[1]):
        state = a[:, t] * state + b[:, t]
        h[:, t] = state
    return h


def true_selective(torch, x, softplus):
    """[n, T] outputs of n channels, each with the B, C of its batch row: u, delta, z [n, T]; A [n, N]; B, C [n, N, T]."""
    delta = x["delta"] if "deltaBias" not in x else x["delta"] + x["deltaBias"][:, None]
    if softplus:
        delta = torch.nn.functional.softplus(delta)
    h = torch.zeros_like(x["A"])
    out = []
    for t in range(delta.shape[1]):
        d = delta[:, t, None]
        h = torch.exp(d * x["A"]) * h + d * x["B"][:, :, t] * x["u"][:, t, None]
        out.append((h * x["C"][:, :, t]).sum(-1))
    y = torch.stack(out, 1)
    if "D" in x:
        y = y + x["D"][:, None] * x["u"]
    return y * torch.nn.functional.silu(x["z"]) if "z" in x else y


def true_chunk(torch, x):
    """[n, T, V] outputs of n sequences: q, k [n, T, K], v [n, T, V]; g [n, T] or [n, T, K]; beta [n, T]."""
    n, T, K = x["q"].shape
    S = x["q"].new_zeros(n, K, x["v"].shape[-1])
    out = []
    for t in range(T):
        k, v = x["k"][:, t], x["v"][:, t]
        if "g" in x:
            S = S * torch.exp(x["g"][:, t].reshape(n, -1, 1))
        if "beta" in x:
            v = x["beta"][:, t, None] * (v - (k[:, None, :] @ S)[:, 0])
        S = S + k[:, :, None] * v[:, None, :]
        out.append((x["q"][:, t, None, :] @ S)[:, 0] * K**-0.5)
    return torch.stack(out, 1)


def true_rwkv6(torch, x):
    """The same with a decay w [n, T, K] and a bonus u [n, K]: a state is read before its update."""
    n, T, K = x["r"].shape
    S = x["r"].new_zeros(n, K, x["v"].shape[-1])
    out = []
    for t in range(T):
        written = x["k"][:, t, :, None] * x["v"][:, t, None, :]
        out.append((x["r"][:, t, None, :] @ (S + x["u"][:, :, None] * written))[:, 0])
        S = S * torch.exp(x["w"][:, t, :, None]) + written
    return torch.stack(out, 1)


def true_rwkv7(torch, x):
    """The same with a decay w and a step b a^T, w, a, b [n, T, K]: both see the state before."""
    n, T, K = x["r"].shape
    S = x["r"].new_zeros(n, K, x["v"].shape[-1])
    out = []
    for t in range(T):
        seen = x["a"][:, t, None, :] @ S
        S = S * torch.exp(x["w"][:, t, :, None]) + x["b"][:, t, :, None] * seen
        S = S + x["k"][:, t, :, None] * x["v"][:, t, None, :]
        out.append((x["r"][:, t, None, :] @ S)[:, 0])
    return torch.stack(out, 1)


def true_delta_product(torch, x):
    """The same with a decay g [n, T] and several delta steps a token: k, v, beta [n, T * steps, ...]."""
    n, T, K = x["q"].shape
    steps = x["k"].shape[1] // T
    S = x["q"].new_zeros(n, K, x["v"].shape[-1])
    out = []
    for t in range(T):
        S = S * torch.exp(x["g"][:, t].reshape(n, 1, 1))
        for m in range(t * steps, (t + 1) * steps):
            k = x["k"][:, m]
            u = x["beta"][:, m, None] * (x["v"][:, m] - (k[:, None, :] @ S)[:, 0])
            S = S + k[:, :, None] * u[:, None, :]
        out.append((x["q"][:, t, None, :] @ S)[:, 0] * K**-0.5)
    return torch.stack(out, 1)


def with_gradients(torch, inputs, forward, cotangent):
    """Output and gradients by name, by automatic differentiation of the loop."""
    leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    out = forward(leaves)
    return out.detach(), dict(zip(leaves, torch.autograd.grad(out, list(leaves.values()), cotangent)))


# ---------------------------------------------------------------------------------------------------------- the cases
# A case's `make` gives `run`, which is timed, and `check`, which gives pairs of result and truth.


def copy(bench, shape, dtype):
    x = bench.random("copy", "x", (shape["N"],), dtype)
    y = bench.torch.empty_like(x)
    return (lambda: y.copy_(x)), (lambda: [(y[:1024], x[:1024])])


def cumsum(bench, shape, dtype):
    x = bench.random("sum", "x", (shape["B"], shape["D"], shape["T"]), dtype)
    y = bench.torch.empty_like(x)
    run = lambda: bench.torch.cumsum(x, -1, out=y)
    return run, (lambda: [(y, bench.torch.cumsum(x, -1, dtype=bench.torch.float64))])


def scan_inputs(bench, shape, dtype):
    size = (shape["B"], shape["D"], shape["T"])
    return bench.random("scan", "a", size, dtype), bench.random("scan", "b", size, dtype)


def warp(bench, shape, dtype):
    """The kernel itself: the package's own function fills its output with zeros first."""
    forward = importlib.import_module("accelerated_scan.warp").warpscan_forward
    a, b = scan_inputs(bench, shape, dtype)
    h = bench.torch.empty_like(b)
    return (lambda: forward(a, b, h, False)), (lambda: scan_pairs(bench, a, b, {"h": h}))


def warp_backward(bench, shape, dtype):
    """Forward and backward."""
    module = importlib.import_module("accelerated_scan.warp")
    a, b = scan_inputs(bench, shape, dtype)
    dh = bench.cotangent(a)
    h, da, db = (bench.torch.empty_like(a) for _ in range(3))

    def run():
        module.warpscan_forward(a, b, h, False)
        module.warpscan_backward(a, h, dh, da, db)

    return run, (lambda: scan_pairs(bench, a, b, {"h": h, "a": da, "b": db}, dh))


def hgrn(bench, shape, dtype, backward=False):
    """Its channels are the last axis, and its gate a logarithm: so is the gradient's."""
    torch = bench.torch
    chunk_hgrn = importlib.import_module("fla.ops.hgrn.chunk").chunk_hgrn
    a, b = (x.transpose(1, 2).contiguous() for x in scan_inputs(bench, shape, dtype))
    g = a.float().log().to(a.dtype)
    dh = bench.cotangent(a)
    rows = lambda x: x.transpose(1, 2).detach()
    kept = {}
    if backward:
        b.requires_grad_()
        g.requires_grad_()

        def run():
            h = chunk_hgrn(b, g)[0]
            db, dg = torch.autograd.grad(h, (b, g), dh)
            kept.update(h=h.detach(), b=db, g=dg)
    else:
        run = lambda: kept.update(h=chunk_hgrn(b, g)[0])

    def check():
        gate = rows(g).double().exp()
        got = {name: rows(x) for name, x in kept.items()}
        if backward:
            # dL/da = dL/dg / a
            got["a"] = got.pop("g").double() / gate
        return scan_pairs(bench, gate, rows(b), got, rows(dh) if backward else None)

    return run, check


def hgrn_backward(bench, shape, dtype):
    return hgrn(bench, shape, dtype, True)


def scan_pairs(bench, a, b, got, dh=None):
    torch = bench.torch
    B, D, _ = a.shape
    at = [(0, 0), (B // 2, D // 2), (B - 1, D - 1)]
    rows = lambda x: torch.stack([x[i, j] for i, j in at]).double().cpu()
    a, b, got = rows(a), rows(b), {name: rows(x) for name, x in got.items()}
    truth = {"h": true_scan(torch, a, b)}
    if dh is not None:
        # lambda_t = dh_t + a_{t+1} lambda_{t+1}: the same scan, backwards.
        later = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], 1)
        db = true_scan(torch, later.flip(1), rows(dh).flip(1)).flip(1)
        before = torch.cat([torch.zeros_like(a[:, :1]), truth["h"][:, :-1]], 1)
        truth.update(a=db * before, b=db)
    return [(got[name], truth[name]) for name in got]


def associative_scan(bench, shape, dtype):
    jax = importlib.import_module("jax")
    a, b = scan_inputs(bench, shape, dtype)
    pair = [jax.dlpack.from_dlpack(x.contiguous()) for x in (a, b)]
    combine = lambda x, y: (x[0] * y[0], y[0] * x[1] + y[1])
    scan = jax.jit(lambda a, b: jax.lax.associative_scan(combine, (a, b), axis=2)[1])
    kept = {}
    run = lambda: kept.update(h=scan(*pair).block_until_ready())
    read = lambda: bench.torch.from_dlpack(kept["h"])
    return run, (lambda: scan_pairs(bench, a, b, {"h": read()}))


def selective(bench, shape, dtype, full, backward):
    """`full`: with D, z, the bias and softplus. `backward` is the gradient alone, of a forward pass made before."""
    torch = bench.torch
    cuda = importlib.import_module("selective_scan_cuda")
    B, D, T, N = (shape[axis] for axis in "BDTN")
    work = "selective scan full" if full else "selective scan"
    make = lambda name, size, kind=dtype: bench.random(work, name, size, kind)
    x = {
        "u": make("u", (B, D, T)),
        "delta": make("delta", (B, D, T)),
        "A": make("A", (D, N), "f32"),
        "B": make("B", (B, 1, N, T)),
        "C": make("C", (B, 1, N, T)),
    }
    if full:
        x.update(D=make("D", (D,), "f32"), z=make("z", (B, D, T)), deltaBias=make("deltaBias", (D,), "f32"))
    given = [x.get(name) for name in ("u", "delta", "A", "B", "C", "D", "z", "deltaBias")]
    dy = bench.cotangent(x["u"])
    kept = {}
    if backward:
        y, states, *_ = cuda.fwd(*given, full)

        def run():
            grads = cuda.bwd(*given, dy, states, y if full else None, None, full, False)
            # A, B, C, D and the bias collect from many channels; these are of one.
            kept.update(u=grads[0], delta=grads[1], **({"z": grads[7]} if full else {}))
    else:
        run = lambda: kept.update(y=cuda.fwd(*given, full)[2 if full else 0])

    def check():
        at = [(0, 0), (B // 2, D // 2), (B - 1, D - 1)]
        index = {"A": lambda b, d: d, "D": lambda b, d: d, "deltaBias": lambda b, d: d, "B": lambda b, d: (b, 0), "C": lambda b, d: (b, 0)}
        rows = lambda name, value: torch.stack([value[index.get(name, lambda b, d: (b, d))(b, d)] for b, d in at]).double().cpu()
        some = {name: rows(name, value) for name, value in x.items()}
        forward = lambda leaves: true_selective(torch, leaves, full)
        if not backward:
            return [(rows("y", kept["y"]), forward(some))]
        _, truth = with_gradients(torch, some, forward, rows("y", dy))
        return [(rows(name, kept[name]), truth[name]) for name in kept]

    return run, check


# By model: where it is, the inputs beyond q, k, v, and arguments.
CHUNK_MODELS = {
    "linear-attention": ("fla.ops.linear_attn", "chunk_linear_attn", (), {"normalize": False}),
    "retnet": ("fla.ops.retention", "chunk_retention", (), {}),
    "mamba2": ("fla.ops.simple_gla", "chunk_simple_gla", ("g",), {}),
    "gla": ("fla.ops.gla", "chunk_gla", ("gk",), {}),
    "delta-net": ("fla.ops.delta_rule", "chunk_delta_rule", ("beta",), {}),
    "gated-delta-net": ("fla.ops.gated_delta_rule", "chunk_gated_delta_rule", ("g", "beta"), {}),
    "kda": ("fla.ops.kda", "chunk_kda", ("gk", "beta"), {}),
}


def chunk(bench, shape, dtype, model, passes, fast=False):
    module, name, more, options = CHUNK_MODELS[model]
    function = getattr(importlib.import_module(module), name)
    B, T, H, K, V = (shape[axis] for axis in "BTHKV")
    work = "delta" if "beta" in more else "chunk fast" if fast else "chunk"
    x = {
        "q": bench.random(work, "q", (B, T, H, K), dtype),
        "k": bench.random(work, "k", (B, T, H, K), dtype),
        "v": bench.random(work, "v", (B, T, H, V), dtype),
    }
    # Decays are kept in f32, as the library's layers do.
    if "g" in more:
        x["g"] = bench.random(work, "g", (B, T, H), "f32")
    if "gk" in more:
        x["g"] = bench.random(work, "g", (B, T, H, K), "f32" if "beta" in more else dtype)
    if "beta" in more:
        x["beta"] = bench.random(work, "beta", (B, T, H), dtype)

    def truth(torch, leaves, heads):
        if model == "retnet":
            gamma = torch.tensor([1 - 2.0 ** (-5 - h) for h in heads], dtype=torch.float64)
            leaves = {**leaves, "g": gamma.log()[:, None].expand(-1, T).contiguous()}
        return true_chunk(torch, leaves)

    return sequences(bench, shape, passes, x, lambda: function(**x, **options)[0], truth)


def rwkv6(bench, shape, dtype, passes):
    function = importlib.import_module("fla.ops.rwkv6").chunk_rwkv6
    B, T, H, K, V = (shape[axis] for axis in "BTHKV")
    make = lambda name, size: bench.random("rwkv6", name, size, dtype)
    x = {
        "r": make("q", (B, T, H, K)),
        "k": make("k", (B, T, H, K)),
        "v": make("v", (B, T, H, V)),
        "w": make("w", (B, T, H, K)),
        "u": make("u", (H, K)),
    }
    return sequences(
        bench, shape, passes, x, lambda: function(**x, scale=1.0)[0], lambda torch, leaves, _: true_rwkv6(torch, leaves)
    )


def rwkv7(bench, shape, dtype, passes):
    """With what its layer asks for: gates known to be moderate, and in halves chunks of 64."""
    function = importlib.import_module("fla.ops.rwkv7").chunk_rwkv7
    B, T, H, K, V = (shape[axis] for axis in "BTHKV")
    make = lambda name, size: bench.random("rwkv7", name, size, dtype)
    x = {
        "r": make("q", (B, T, H, K)),
        "w": make("w", (B, T, H, K)),
        "k": make("k", (B, T, H, K)),
        "v": make("v", (B, T, H, V)),
    }
    kappa, eta = make("kappa", (B, T, H, K)), make("eta", (B, T, H, K))
    x.update(a=-kappa, b=kappa * eta)
    wanted = {"safe_gate": True, "lower_bound": -0.6065306597126334, **({} if dtype == "f32" else {"chunk_size": 64})}
    # Earlier versions have fewer.
    known = inspect.signature(function).parameters
    options = {name: value for name, value in wanted.items() if name in known}
    return sequences(
        bench,
        shape,
        passes,
        x,
        lambda: function(**x, scale=1.0, **options)[0],
        lambda torch, leaves, _: true_rwkv7(torch, leaves),
    )


def delta_product(bench, shape, dtype, passes):
    """Two delta steps a token."""
    function = importlib.import_module("fla.ops.gated_delta_product").chunk_gated_delta_product
    B, T, H, K, V = (shape[axis] for axis in "BTHKV")
    x = {
        "q": bench.random("delta", "q", (B, T, H, K), dtype),
        "k": bench.random("delta", "k", (B, 2 * T, H, K), dtype),
        "v": bench.random("delta", "v", (B, 2 * T, H, V), dtype),
        "g": bench.random("delta", "g", (B, T, H), "f32"),
        "beta": bench.random("delta", "beta", (B, 2 * T, H), dtype),
    }
    return sequences(
        bench,
        shape,
        passes,
        x,
        lambda: function(**x, num_householder=2)[0],
        lambda torch, leaves, _: true_delta_product(torch, leaves),
    )


# By model: the function's name, and its cases.
OTHER_MODELS = {
    "rwkv6": ("chunk_rwkv6", rwkv6),
    "rwkv7": ("chunk_rwkv7", rwkv7),
    "delta-product": ("chunk_gated_delta_product", delta_product),
}


def sequences(bench, shape, passes, x, call, truth):
    """
    `call` on inputs x, [B, T, H, ...] or [H, ...]: `forward`, `forward+backward`, or `backward`, alone, of a forward pass made
    before. `truth` gives outputs from inputs of some sequences in f64, and their heads.
    """
    torch = bench.torch
    B, T, H = (shape[axis] for axis in "BTH")
    do = bench.cotangent(x["v"][:, :T].contiguous())
    kept = {}
    if passes != "forward":
        names = list(x)
        for value in x.values():
            value.requires_grad_()
        before = call() if passes == "backward" else None

        def run():
            o = call() if before is None else before
            again = before is not None
            grads = torch.autograd.grad(o, [x[name] for name in names], do, retain_graph=again)
            kept.update(zip(names, grads), o=o.detach())
    else:
        run = lambda: kept.update(o=call())

    def check():
        at = [(0, 0), (B - 1, H - 1)]
        rows = lambda value: (
            torch.stack([value[h] if value.dim() == 2 else value[b, :, h] for b, h in at]).detach().double().cpu()
        )
        some = {name: rows(value) for name, value in x.items()}
        forward = lambda leaves: truth(torch, leaves, [h for _, h in at])
        if passes == "forward":
            return [(rows(kept["o"]), forward(some))]
        out, grads = with_gradients(torch, some, forward, rows(do))
        # A parameter's gradient is a sum over the batch; these are of one sequence.
        own = [name for name, value in x.items() if value.dim() > 2]
        return [(rows(kept["o"]), out), *((rows(kept[name]), grads[name]) for name in own)]

    return run, check


def matmul(bench, shape, dtype, tf32=False):
    torch = bench.torch
    a = bench.random("matmul", "a", (shape["M"], shape["K"]), dtype)
    b = bench.random("matmul", "b", (shape["K"], shape["N"]), dtype)
    out = torch.empty((shape["M"], shape["N"]), dtype=a.dtype, device=a.device)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    rows = slice(0, shape["M"], max(1, shape["M"] // 64))
    return (lambda: torch.matmul(a, b, out=out)), (lambda: [(out[rows], a[rows].double() @ b.double())])


def attention(bench, shape, dtype):
    torch = bench.torch
    B, T, H, K, V = (shape[axis] for axis in "BTHKV")
    q, k, v = (
        bench.random("attention", name, (B, T, H, size), dtype).transpose(1, 2)
        for name, size in (("q", K), ("k", K), ("v", V))
    )
    kept = {}
    function = torch.nn.functional.scaled_dot_product_attention
    run = lambda: kept.update(o=function(q, k, v, is_causal=True))

    def check():
        at = [(0, 0), (B - 1, H - 1)]
        pairs = []
        for b, h in at:
            scores = q[b, h].double() @ k[b, h].double().T * K**-0.5
            scores.masked_fill_(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
            pairs.append((kept["o"][b, h], scores.softmax(-1) @ v[b, h].double()))
        return pairs

    return run, check


def cases(shapes, with_jax):
    """(kernel, shape, dtype, peer, make) of everything."""
    quick = shapes == "quick"
    flat = {"N": 2**16 if quick else 2**28}
    long = {"B": 1, "D": 1, "T": flat["N"]}
    lengths = [256] if quick else [1024, 2048, 4096, 16384, 65536]
    rows = [{"B": 2, "D": 8, "T": T} if quick else {"B": 8, "D": 1536, "T": T} for T in lengths]
    channels = (
        [{"B": 1, "D": 4, "T": 2048, "N": 16}]
        if quick
        else [{"B": B, "D": 2048, "T": T, "N": 16} for B, T in ((8, 4096), (8, 16384), (1, 65536))]
    )
    heads = [{"B": 2, "T": 256, "H": 2, "K": 64, "V": 64}] if quick else HEADS
    sides = (
        [(256, 256, 256)]
        if quick
        else [(4096,) * 3, (8192,) * 3, (8192, 768, 768), (8192, 768, 3072), (768, 8192, 3072)]
    )

    yield "copy", flat, "f32", "torch copy_", copy
    yield "sum row 2^28", long, "f32", "torch cumsum", cumsum
    for dtype in ("f32", "f16"):
        for shape in rows:
            yield "scan rows forward", shape, dtype, "accelerated-scan warp", warp
            if with_jax and dtype == "f32":
                yield "scan rows forward", shape, dtype, "jax associative_scan", associative_scan
        for shape in rows:
            yield "scan rows forward+backward", shape, dtype, "accelerated-scan warp", warp_backward
        for shape in rows:
            if shape["T"] in (256, 4096):
                yield "scan columns forward", shape, dtype, "fla chunk_hgrn", hgrn
                yield "scan columns forward+backward", shape, dtype, "fla chunk_hgrn", hgrn_backward
    for name, full, backward in (
        ("selective scan forward", False, False),
        ("selective scan forward full", True, False),
        ("selective scan backward full", True, True),
    ):
        make = lambda bench, shape, dtype, full=full, backward=backward: selective(bench, shape, dtype, full, backward)
        for dtype in ("f32", "bf16"):
            for shape in channels if dtype == "f32" else channels[:1]:
                yield name, shape, dtype, "mamba_ssm selective_scan", make
    for model in CHUNK_MODELS:
        for passes in ("forward", "forward+backward", "backward"):
            make = lambda bench, shape, dtype, model=model, passes=passes: chunk(bench, shape, dtype, model, passes)
            for dtype in ("f32", "bf16"):
                for shape in heads:
                    yield f"{model} chunk {passes}", shape, dtype, f"fla {CHUNK_MODELS[model][1]}", make
    for dtype in ("f32", "bf16"):
        make = lambda bench, shape, dtype: chunk(bench, shape, dtype, "mamba2", "forward", True)
        yield "mamba2 chunk forward, fast decays", heads[0], dtype, f"fla {CHUNK_MODELS['mamba2'][1]}", make
    for model, (name, case) in OTHER_MODELS.items():
        for passes in ("forward", "forward+backward", "backward"):
            make = lambda bench, shape, dtype, case=case, passes=passes: case(bench, shape, dtype, passes)
            for dtype in ("f32", "bf16"):
                yield f"{model} chunk {passes}", heads[0], dtype, f"fla {name}", make
    for dtype in ("f32", "bf16"):
        for shape in heads:
            yield "attention forward", shape, dtype, "torch sdpa", attention
    tf32 = lambda bench, shape, dtype: matmul(bench, shape, dtype, True)
    for M, K, N in sides:
        shape = {"M": M, "K": K, "N": N}
        for kernel in ("matmul", "matmul plain"):
            yield kernel, shape, "f32", "torch matmul", matmul
        yield "matmul", shape, "f32", "torch matmul tf32", tf32
        for dtype in ("f16", "bf16"):
            yield "matmul", shape, dtype, "torch matmul", matmul


def extra(case):
    """What is timed last, lest a budget ends before the rest: further types and sizes."""
    kernel, shape, dtype, _, _ = case
    return kernel.endswith("chunk backward") or (dtype == "f16" and kernel != "matmul") or 768 in shape.values() or shape.get("K") == 128 or (shape.get("T") == 2048 and "N" not in shape)


# -------------------------------------------------------------------------------------------------------- the command


def made(bench, shape, dtype, make):
    """`run` and `check` of a case that has run once, on the same inputs every time."""
    bench.generator.manual_seed(SEED)
    run, check = make(bench, shape, dtype)
    run()
    bench.synchronize()
    return run, check


def judged(check):
    """The figures of a case's errors; infinity is no JSON."""
    largest, rms = errors(check())
    return {
        "maxError": largest if math.isfinite(largest) else None,
        "rmsError": rms if math.isfinite(rms) else None,
    }


def timed(bench, run, effort):
    """The figures of a case's times."""
    eager = bench.milliseconds(run, effort)
    replay = bench.captured(run)
    graph = None if replay is None else bench.milliseconds(replay, effort)
    best = min((x for x in (eager, graph) if x is not None), key=lambda x: quantile(x, 0.5))
    return {
        "ms": quantile(best, 0.5),
        "spread": [quantile(best, 0.25), quantile(best, 0.75)],
        "samples": len(best),
        "eagerMs": quantile(eager, 0.5),
        "graphMs": None if graph is None else quantile(graph, 0.5),
    }


UNJUDGED = {"maxError": None, "rmsError": None}


def one_line(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:400]


def missing(names):
    """One line per module that cannot be imported."""
    lines = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            lines.append(f"not run: {name} cannot be imported ({one_line(error)})")
    return lines


def arguments(given):
    parser = argparse.ArgumentParser(
        prog="peers.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="REGEX", default="", help="only where it is found in 'kernel dtype peer shape'")
    parser.add_argument("--shapes", choices=("issue", "quick"), default="issue", help="those of the issue, or small ones")
    parser.add_argument("--budget", metavar="SECONDS", type=float, default=math.inf, help="begin nothing after so long")
    parser.add_argument("--effort", metavar="MS", type=float, default=200, help="milliseconds of timing per way, about")
    parser.add_argument("--no-graphs", action="store_true", help="do not capture CUDA graphs")
    parser.add_argument("--no-errors", action="store_true", help="do not compare with f64")
    parser.add_argument("--jax", action="store_true", help="time jax too; it takes long to compile")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try this script out")
    parser.add_argument("--list", action="store_true", help="print what would be timed")
    parser.add_argument("--workers", metavar="N", type=int, default=0, help="prepare N processes at once; time one at a time")
    parser.add_argument("--warm", action="store_true", help="compile only, into Triton's cache; time nothing")
    parser.add_argument(
        "--patience", metavar="SECONDS", type=float, default=300, help="what a case may take to get ready with --workers"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--turns", help=argparse.SUPPRESS)
    parser.add_argument("--start", metavar="N", type=int, default=0, help="leave out the first N of the list")
    parser.add_argument("--spent", metavar="SECONDS", type=float, default=0, help="seconds of the budget already spent")
    asked = parser.parse_args(given)
    try:
        asked.only = re.compile(asked.only)
    except re.error as error:
        parser.error(f"--only must be a regular expression: {error}")
    if asked.workers < 0:
        parser.error(f"--workers must be ≥ 0, got {asked.workers}")
    if not asked.patience > 0:
        parser.error(f"--patience must be > 0, got {asked.patience:g}")
    return asked


def restart(given, start, spent):
    """Goes on in a new process: after some errors a CUDA context answers nothing but that error."""
    kept = [arg for arg in given]
    os.execv(sys.executable, [sys.executable, __file__, *kept, "--start", str(start), "--spent", f"{spent:.1f}"])


def case_text(case):
    kernel, shape, dtype, peer, _ = case
    return f"{kernel} {dtype} {peer} {shape_text(shape)}"


def head(case, adapter, version):
    """What every line says, with figures or without."""
    kernel, shape, dtype, peer, _ = case
    return {
        "kernel": kernel,
        "shape": shape_text(shape),
        "dtype": dtype,
        "adapter": adapter,
        "peer": peer,
        "runtime": f"python {platform.python_version()}",
        "torch": version,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def attempt(bench, step):
    """Figures of a step or its error, and whether the device still answers."""
    figures, answers = {}, True
    try:
        figures = step()
    except Exception as error:
        figures = {"error": one_line(error)}
        # Its frames hold the case's tensors.
        error.__traceback__ = None
        try:
            bench.synchronize()
        except Exception:
            answers = False
    bench.torch.backends.cuda.matmul.allow_tf32 = False
    gc.collect()
    if bench.device == "cuda" and answers:
        bench.torch.cuda.empty_cache()
    return figures, answers


def first_run(bench, case, asked):
    """A case made, run once, and compared with f64, without its tensors."""
    _, check = made(bench, case[1], case[2], case[4])
    return UNJUDGED if asked.no_errors else judged(check)


def times_again(bench, case, asked):
    """The times of a case that has been run before."""
    run, _ = made(bench, case[1], case[2], case[4])
    return timed(bench, run, asked.effort)


def both(bench, case, asked):
    run, check = made(bench, case[1], case[2], case[4])
    return {**(UNJUDGED if asked.no_errors else judged(check)), **timed(bench, run, asked.effort)}


@contextlib.contextmanager
def turn(path):
    """Holds the lock of a file: one process at a time."""
    import fcntl

    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def tune(bench, trial):
    """Has Triton try its tunings by `trial(real, run, ...)` instead, each once compiled."""
    try:
        testing = importlib.import_module("triton.testing")
    except Exception:
        return
    real = testing.do_bench

    def instead(run, *more, **named):
        run()
        bench.synchronize()
        return trial(real, run, *more, **named)

    testing.do_bench = instead


def compile_only(bench):
    """No tuning is timed, and none is kept on the disk."""
    os.environ["FLA_CACHE_RESULTS"] = "0"
    os.environ.pop("TRITON_CACHE_AUTOTUNING", None)

    def trial(real, run, *more, quantiles=None, **named):
        return 1.0 if quantiles is None else [1.0] * len(quantiles)

    tune(bench, trial)


def take_turns(bench, path):
    def trial(real, *more, **named):
        with turn(path):
            # A quarter of the usual milliseconds: hundreds of runs of kernels as short as these.
            return real(*more, **{"warmup": 6, "rep": 25, **named})

    tune(bench, trial)


def warm(bench, case):
    """Makes a case and runs it once."""
    begun = time.perf_counter()

    def step():
        made(bench, case[1], case[2], case[4])
        return {"seconds": time.perf_counter() - begun}

    return attempt(bench, step)


def child(bench, chosen, asked):
    # What libraries print goes to stderr.
    say = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    bench.torch.set_num_threads(max(1, (os.cpu_count() or 1) // asked.workers))
    numbers = [int(number) for number in asked.child.split(",")]
    if asked.warm:
        return peer_workers.serve(say, numbers, lambda number: warm(bench, chosen[number]), None)
    take_turns(bench, asked.turns)
    return peer_workers.serve(
        say,
        numbers,
        lambda number: attempt(bench, lambda: first_run(bench, chosen[number], asked)),
        lambda number, before: attempt(bench, lambda: {**before, **times_again(bench, chosen[number], asked)}),
    )


def in_processes(given, asked, chosen, began, report):
    """All cases in processes, one for each kernel, type and peer. How many are left over."""
    groups = collections.defaultdict(list)
    for number, case in list(enumerate(chosen))[asked.start :]:
        kernel, _, dtype, peer, _ = case
        groups[extra(case), kernel, dtype, peer].append(number)
    # Else jax takes most of the device's memory for itself.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with tempfile.TemporaryDirectory() as folder:
        workers = peer_workers.Workers(
            [sys.executable, __file__, *given, "--turns", os.path.join(folder, "turns")],
            groups.values(),
            at_once=asked.workers,
            patience=asked.patience,
            left_of_budget=lambda: asked.budget - asked.spent - (time.perf_counter() - began),
            report=report,
        )
        return workers.run(timed=not asked.warm)


def main(given):
    began = time.perf_counter()
    asked = arguments(given)
    chosen = [
        case
        for case in sorted(cases(asked.shapes, asked.jax), key=extra)
        if asked.only.search(case_text(case))
    ]
    if asked.list:
        for case in chosen:
            print(case_text(case))
        return 0
    lacking = missing(["torch"])
    if lacking:
        for line in lacking + missing(["fla", "selective_scan_cuda", "accelerated_scan"] + (["jax"] if asked.jax else [])):
            print(line, file=sys.stderr)
        return 2
    torch = importlib.import_module("torch")
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("not run: torch sees no CUDA device", file=sys.stderr)
        return 2
    adapter = torch.cuda.get_device_name() if asked.device == "cuda" else platform.processor() or "cpu"
    bench = Bench(torch, asked.device, not asked.no_graphs)
    torch.backends.cuda.matmul.allow_tf32 = False
    if asked.warm:
        compile_only(bench)
    if asked.child:
        return child(bench, chosen, asked)

    def report(number, figures):
        if asked.warm:
            came_to = figures.get("error") or f"{figures['seconds']:.1f} s"
            print(f"compiled: {case_text(chosen[number])}: {came_to}", file=sys.stderr, flush=True)
        else:
            print(json.dumps({**head(chosen[number], adapter, torch.__version__), **figures}), flush=True)

    left = 0
    if asked.workers:
        left = in_processes(given, asked, chosen, began, report)
    else:
        for number in range(asked.start, len(chosen)):
            spent = asked.spent + time.perf_counter() - began
            if spent >= asked.budget:
                left = len(chosen) - number
                break
            case = chosen[number]
            figures, answers = warm(bench, case) if asked.warm else attempt(bench, lambda: both(bench, case, asked))
            report(number, figures)
            if not answers:
                restart(given, number + 1, asked.spent + time.perf_counter() - began)
    if left:
        print(f"not run, as --budget {asked.budget:g} is spent: {left} of {len(chosen)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
