#!/usr/bin/python3
"""Time of one Adam step of a learned rotation and lambda in PyTorch: the mathematics of bench/fit_step.c, one thread, float32.

    fit_torch.py VARIANT DIM      expm, cayley, householder (reflectors one after another on the matrix), householder-wy (compact WY: one triangular solve); prints milliseconds per step

y = L R z, s = max |y| / 7, y^ = y + s sg(rint(y / s) - y / s), x^ = R' L^-1 y^, loss sum |x^ - z|^2; gradients by autograd.
"""
import sys
import time

import torch

ROWS, BATCH, ROUNDS, STEPS = 4096, 2048, 7, 10


def rotation(variant, dim):
    """(parameters, function that makes R)"""
    if variant in ("expm", "cayley"):
        u = torch.nn.Parameter(0.01 * torch.randn(dim, dim))
        eye = torch.eye(dim)
        if variant == "expm":
            return u, lambda: torch.matrix_exp(u - u.T)
        return u, lambda: torch.linalg.solve(eye - (u - u.T), eye + (u - u.T))
    k = dim // 2
    v = torch.nn.Parameter(torch.randn(k // 2, dim).repeat_interleave(2, 0) + 0.01 * torch.randn(k, dim))
    eye = torch.eye(dim)
    if variant == "householder":
        def product():
            r = eye
            for j in range(k):
                w = v[j]
                r = r - torch.outer(w * (2.0 / (w @ w)), w @ r)
            return r
        return v, product

    def wy():  # H_1 ... H_k = I - V' S^-1 V, S = strictly upper part of V V' plus half its diagonal
        g = v @ v.T
        s = torch.triu(g, 1) + torch.diag(0.5 * torch.diagonal(g))
        return eye - v.T @ torch.linalg.solve_triangular(s, v, upper=True)
    return v, wy


def main():
    variant, dim = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    z = torch.randn(ROWS, dim)
    z[:, :dim // 8] *= 4.0
    theta, make = rotation(variant, dim)
    log_lambda = torch.nn.Parameter(torch.zeros(dim))
    adam = torch.optim.Adam([theta, log_lambda], lr=0.01)
    best = 1e300
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(STEPS):
            x = z[torch.randint(0, ROWS, (BATCH,))]
            r, scale = make(), torch.exp(log_lambda - log_lambda.mean())
            y = (x @ r.T) * scale
            s = y.abs().amax(1, keepdim=True) / 7.0
            with torch.no_grad():
                residual = torch.round(y / s) - y / s
            back = ((y + s * residual) / scale) @ r
            loss = ((back - x) ** 2).sum() / BATCH
            adam.zero_grad()
            loss.backward()
            adam.step()
        best = min(best, (time.perf_counter() - start) / STEPS)
    print("%.4f" % (1e3 * best))


main()
